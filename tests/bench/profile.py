# SPDX-License-Identifier: MIT
"""Turns what profile.c counted into functions, and shows them. Run by profile."""

import argparse
import bisect
import pathlib
import re
import subprocess
from collections import Counter

PIE_BASE = 0x555555554000	# of a program, with norandmaps
KERNEL = 1 << 63


class Symbols:
    def __init__(self):
        self.table = []
        self.files = {}	# what can be disassembled, by the suffix of its symbols

    def add(self, nm, base, suffix, end):
        """Add the functions of nm's output, up to an end that covers no symbol."""
        for line in nm.splitlines():
            match = re.match(r"([0-9a-f]+) [tTwWiu] ([^\s@]+)(?:.*\t\[(\w+)\])?", line)
            if match:
                module = f" [{match[3]}]" if match[3] else suffix
                self.table.append((int(match[1], 16) + base, match[2] + module))
        # What has no name there is nevertheless not the neighbour's.
        self.table.append((base, "?" + suffix))
        self.table.append((end, None))

    def seal(self):
        self.table.sort(key=lambda entry: entry[0])
        self.starts = [start for start, _ in self.table]

    def find(self, address):
        """The function at an address: its start and its name."""
        index = bisect.bisect_right(self.starts, address) - 1
        # Of several names for one address any will do, but always the same.
        index = bisect.bisect_left(self.starts, self.starts[index])
        start, name = self.table[index]
        return start, name or f"?{address >> 12:x}000"


def nm(path, *options):
    return subprocess.run(["nm", *options, path], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout


def load_symbols(folder, outputs, program):
    release = (folder / "release").read_text().strip()
    symbols = Symbols()
    symbols.add((folder / "kallsyms").read_text(), 0, "", (1 << 64) - 1)
    symbols.files[" [symphony]"] = outputs / f"kmod-{release}" / "kmod" / "symphony.ko"
    if program.startswith("/"):
        # Debian's interpreter is linked for a fixed address.
        mapped = [(pathlib.Path(program), 0, f" [{pathlib.Path(program).name}]")]
    else:
        mapped = [(outputs / "bench" / program, PIE_BASE, f" [bench/{program}]")]
    for line in (folder / "libraries").read_text().splitlines():
        match = re.match(r"\s*(?:.* => )?(\S+) \(0x([0-9a-f]+)\)", line)
        if match:
            path = pathlib.Path(match[1])
            mapped.append((path, int(match[2], 16), f" [{path.name}]"))
    for path, base, suffix in mapped:
        symbols.add(nm(path) or nm(path, "-D") or "0 t all", base, suffix, base + (1 << 24))
        symbols.files[suffix] = path
    symbols.seal()
    return symbols


def annotate(function, counts, symbols, rounds):
    """Disassemble what ran of a function, with how often it did."""
    found = [(start, name[len(function):]) for start, name in symbols.table
             if name and name.startswith(f"{function} [")]
    if not found:
        raise SystemExit(f"profile: no function {function} in symphony.ko, the libraries, "
                         "or the program")
    start, suffix = found[0]
    listing = subprocess.run(["objdump", "-d", "-r", "--no-show-raw-insn",
                              f"--disassemble={function}", symbols.files[suffix]],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
    first = None
    for line in listing.splitlines():
        match = re.match(r"\s*([0-9a-f]+):\t(?!R_)", line)
        if not match:
            continue
        offset = int(match[1], 16)
        first = offset if first is None else first
        count = counts.get(start + offset - first, 0)
        if count:
            print(f"{count / rounds:9.2f}  {line.strip()}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int)
    parser.add_argument("--annotate")
    parser.add_argument("outputs", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("program")
    options = parser.parse_args()
    folder = options.folder

    counts = {}
    for line in (folder / "counts").read_text().splitlines():
        address, count = line.split()
        counts[int(address, 16)] = int(count)
    name, size, figure = (folder / "figure").read_text().split()[-3:]
    total = sum(counts.values())
    rounds = round(total / int(figure))
    symbols = load_symbols(folder, options.outputs, options.program)

    functions, calls, places = Counter(), Counter(), Counter()
    for address, count in counts.items():
        start, function = symbols.find(address)
        functions[function] += count
        place = re.search(r"\[(.*)\]$", function)
        places[place[1] if place else "kernel" if address >= KERNEL else "elsewhere"] += count
        if start == address:
            calls[function] += count
    print(f"{name}, {size} B, {rounds} round trips: {total / rounds:.0f} instructions each: "
          + ", ".join(f"{place} {count / rounds:.0f}" for place, count in places.most_common()))
    print("  insns   share  calls  function")
    for function, count in functions.most_common(options.lines):
        print(f"{count / rounds:7.0f}  {count / total:6.1%} {calls[function] / rounds:6.2f}"
              f"  {function}")
    if options.annotate:
        print(f"\n{options.annotate}, times a round trip:")
        annotate(options.annotate, counts, symbols, rounds)


if __name__ == "__main__":
    main()
