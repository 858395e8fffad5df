# SPDX-License-Identifier: MIT
"""
seeds.py FOLDER: what the fuzzers start from, made of the tests and documents of this
tree: FOLDER/<target>/*, and FOLDER/<target>.dict with the words that matter there.
"""

import json
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[3]
POOL, DAG = "pool_manager", "dag_tracker"

# Depth that is made large by script.h, and what parsers get wrong.
ODD = [
    b'{"code":1,"message":"m","data":\x01\xff\x02\xff}', b'\x01\xff\x02\xff', b'\x03\xff1\x04\xff',
    b'{"method":"check","params":\x01\x00\x02\x00}', b'[18446744073709551615,18446744073709551616]',
    b'[-9223372036854775808,-9223372036854775809,1e308,1e-400,-0,-0.0,1e999]',
    b'["\\ud83d\\ude00","\\u0000","\\ud800"]', b'"\xf0\x9f\x98\x80\xc3\xa9"', b'"\xed\xa0\x80"',
    b'{"a":1,"a":2,"method":"x","method":"y"}', b'[NaN,Infinity]', b'\xef\xbb\xbf{}', b'', b'null',
    b'{"code":9223372036854775807,"message":"a\\u0000b","data":null}', b'{"code":"7","message":3}',
    b'[' + b'9' * 5000 + b']', b'[0.' + b'1' * 2000 + b'e5]',
    b'{"method":"check","params":{"p":3}}', b'{"method":"check","params":{"p":"s","q":true}}',
    b'{"method":"describe"}', b'{"method":"check","params":[]}', b'"text"', b'[{}]',
    b'{"type":"object","properties":{"p":{"type":"integer"}}}',
]

DICT = ['{', '}', '[', ']', '":', '","', 'null', 'true', 'false', '"method":"', '"params":{',
        '"code":', '"message":"', '"data":', '\\u0000', '\\ud83d\\ude00', '1e308', '-0.0',
        '18446744073709551615', '9007199254740991', '9007199254740992', '-1']
RAW_DICT = [r'\x01\xff', r'\x02\xff', r'\x03\x10', r'\x04\x10', r'\xed\xa0\x80', r'\xf0\x9f\x98\x80']


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_dict(path, words):
    lines = [quoted(word) for word in dict.fromkeys(words)] + [f'"{word}"' for word in RAW_DICT]
    path.write_text("\n".join(lines) + "\n")


def strings(source):
    """The argument lists of sim_call() in C, its literals joined."""
    for match in re.finditer(r'sim_call\(\s*[^"]*?,\s*([^,"]+),\s*"(\w+)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)',
                             source):
        text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[3]))
        text = text.replace('\\"', '"').replace("\\\\", "\\")
        yield match[1].strip(), match[2], text


def filled(text):
    """printf's conversions by something like their values."""
    text = re.sub(r"%[ll]*[du]|%z?u", "3", text)
    return re.sub(r"%[.*\d]*s", "a", text).replace("'", '"')


def pit_steps(source, methods):
    steps = []
    for sender, method, params in strings(source):
        target = next((name for name, known in methods.items() if method in known), None)
        if not target:
            continue
        number = int(sender) % 8 if sender.isdigit() else 1
        first = str(number) if target == POOL else "@ABCDEFG"[number]
        try:
            message = json.dumps({"method": method, "params": json.loads(filled(params))},
                                 separators=(",", ":"))
        except ValueError:
            continue
        steps.append(first + message)
    return steps


def methods_of(name):
    source = (TOP / "pit" / f"{name}.c").read_text()
    return re.findall(r'\.name = "(\w+)"', source)[:-1], re.findall(r'\\"(\w+)\\"', source)


def pit(folder):
    found = {name: methods_of(name) for name in (POOL, DAG)}
    methods = {name: methods for name, (methods, _) in found.items()}
    n = 0
    for path in sorted((TOP / "tests/pit").glob("*.c")):
        steps = pit_steps(path.read_text(), methods)
        for i in range(0, len(steps), 8):
            extra = ["t 10", "x 1", "c 0", "! 1", "p"][n % 5]
            part = steps[i:i + 4] + [extra] + steps[i + 4:i + 8] + ["t 100000"]
            (folder / f"test-{n}").write_text("\n".join(part))
            n += 1
    words = [f'"{word}"' for methods, members in found.values() for word in methods + members]
    lead = ['\n' + first + '{"method":"' for first in "0123@ABC"] + \
        ["\nt 1", "\nt 100000", "\nx 1", "\nc 0", "\n! 1", "\np\n"]
    write_dict(folder.with_suffix(".dict"), words + DICT)
    with open(folder.with_suffix(".dict"), "a") as file:
        for word in lead:
            file.write(quoted(word).replace("\n", "\\x0a") + "\n")
    return n


def documents():
    """Every JSON text of the documents and of the tests, and the examples."""
    for path in sorted([*TOP.glob("docs/*.md"), *TOP.glob("tests/python/*.py"), TOP / "README.md"]):
        for text in re.findall(r"\{[^{}\n]*(?:\{[^{}\n]*\}[^{}\n]*)*\}", path.read_text()):
            try:
                json.loads(text)
            except ValueError:
                continue
            yield text.encode()
    yield (TOP / "docs/examples/index.json").read_bytes()


def number(value, size):
    return value.to_bytes(size, "big")


def body(text):
    return number(len(text), 2) + text


def message(folder):
    """Programs of message.c: a call, an asynchronous one, a request, a notice."""
    plain = bytes(4) + bytes([0])
    for i, text in enumerate(ODD[:12]):
        plan = bytes([0, 0, i & 1, 1, 0]) + body(text)
        call = bytes([0, i]) + plan + bytes([1, 0, 1, 0]) + body(b'{"method":"m"}')
        send = bytes([1, i]) + plan + bytes([1, 0, 1, 0]) + body(text)
        told = bytes([3, i & 1, 0, 1, 0, 0, 2, 1, 0]) + body(text)
        request = bytes([4, 0, 0, 3, 1]) + number(7, 8) + bytes([0, 0, 1, 0, 5]) + body(text)
        notice = bytes([5, 0, 0, 3, 1]) + number(7, 8) + bytes([0, 0, 1, 0, 5, 3 + i % 5, 1, 0]) + \
            number(0, 8) + body(b"")
        process = bytes([6]) + bytes(5) + body(b"")
        claim = bytes([11, 0, 1, 0])
        (folder / f"all-{i}").write_bytes(
            call + claim + send + told + process + request + notice + process +
            bytes([0x58 | i & 7, 0, 0]) + bytes([8, i % 16, 1, i]) + plain)
        (folder / f"call-{i}").write_bytes(call)
        (folder / f"send-{i}").write_bytes(send + told + process + bytes([1, 3]))
        (folder / f"request-{i}").write_bytes(request + process + bytes([0x40 | i << 3 & 0xff, i]))


def options(folder):
    lines = ["--describe", "--id\0x.y-z\0--describe", "--config\0{\"a\":[1]}\0--describe",
             "--bus\0b\0--threads\0003\0--recovery\0reissue\0--grant\0005\0--takeover",
             "--threads\0001025", "--recovery\0no", "--help", "--config\0{", "--grant\000-1", "x"]
    for i, line in enumerate(lines):
        for env in (b"", b"5", b"99999999999", b"x"):
            (folder / f"{i}-{env.decode()}").write_bytes(env + b"\n" + b"b.us\n" + line.encode())
    write_dict(folder.with_suffix(".dict"), [
        "--bus", "--id", "--threads", "--config", "--takeover", "--recovery", "--grant",
        "--describe", "--help", "fail", "requeue", "reissue", "2147483648", "-1", *DICT])


def main():
    folder = pathlib.Path(sys.argv[1])
    texts = list(dict.fromkeys([*ODD, *documents()]))
    for target in ("message", "json", "pit", "options", "convert"):
        (folder / target).mkdir(parents=True, exist_ok=True)
    for i, text in enumerate(texts):
        (folder / "json" / f"text-{i}").write_bytes(text)
        (folder / "convert" / f"text-{i}").write_bytes(b"\x00" + text)
    for i, text in enumerate(texts):
        (folder / "convert" / f"error-{i}").write_bytes(b"\x02" + text)
    for i in range(64):
        (folder / "convert" / f"object-{i}").write_bytes(bytes([1]) + bytes((i * j) % 251 for j in range(40)))
    for target in ("message", "json", "convert"):
        write_dict(folder / f"{target}.dict", DICT)
    message(folder / "message")
    options(folder / "options")
    if not pit(folder / "pit"):
        sys.exit("seeds: no calls in tests/pit")


if __name__ == "__main__":
    main()
