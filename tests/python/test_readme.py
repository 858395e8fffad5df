# SPDX-License-Identifier: MIT
"""What the README and the tutorial show is what happens."""

import fnmatch
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

import pytest

import symphony_ipc

TOP = pathlib.Path(__file__).parents[2]
O = pathlib.Path(symphony_ipc.__file__).parents[2]
README = (TOP / "README.md").read_text()
TUTORIAL = (TOP / "docs/tutorial.md").read_text()
# The library was built with them, so what links it has to be.
SANITIZERS = ["-fsanitize=address,undefined"] if os.environ.get("SAN") == "1" else []
PATHS = {**os.environ, "CPATH": f"{TOP}/libbus/include:{TOP}/kmod/include/uapi",
         "LIBRARY_PATH": str(O)}


def blocks(text):
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.S | re.M)


def write_files(text, folder):
    """Each block of a program, under the name in its first line."""
    for language, body in blocks(text):
        name = re.match(r"(?:#|/\*) ([\w.]+\.(?:py|c))\b", body)
        if name:
            (folder / name[1]).write_text(body)


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}"
                                                 for path in (TOP / "docs").glob("*.md"))])
def test_links_lead_somewhere(page):
    path = TOP / page
    for target in re.findall(r"[^\"]\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), f"{page}: {target}"


@pytest.mark.device
@pytest.mark.parametrize("language", ["python", "c"])
def test_the_extension_in_the_readme(language, tmp_path, bus):
    write_files(README, tmp_path)
    argv = [sys.executable, "sum.py"]
    if language == "c":
        build = re.search(r"/\* sum.c: (.*) \*/", README)[1]
        subprocess.run([*shlex.split(build), *SANITIZERS], cwd=tmp_path, env=PATHS, check=True)
        argv = ["./sum"]
    with subprocess.Popen(argv, cwd=tmp_path) as extension:
        try:
            while True:
                try:
                    bus.call("sum", {"method": "describe"})
                    break
                except symphony_ipc.NoReplica:
                    assert extension.poll() is None
                    time.sleep(0.1)
            output = subprocess.run([sys.executable, "call.py"], cwd=tmp_path, check=True,
                                    timeout=60, text=True, stdout=subprocess.PIPE).stdout
        finally:
            extension.kill()
    assert output == "3\n7\n"


class Shell:
    """Types commands, and waits until what is started in the background serves."""

    def __init__(self):
        self.bash = subprocess.Popen(
            ["bash", "-m"], cwd=TOP, env={**os.environ, "O": str(O)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def type(self, command):
        wait = ""
        if command.endswith("&"):
            wait = "until grep -q /dev/symphony /proc/$!/maps; do sleep 0.1; done; sleep 1"
        self.bash.stdin.write(f"{command}\n{wait}\necho; echo end-of-output\n")
        self.bash.stdin.flush()
        lines = []
        for line in self.bash.stdout:
            if line == "end-of-output\n":
                return lines[:-1] if lines[-1:] == [""] else lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended at: {command}")

    def end(self):
        self.bash.stdin.write("kill -9 $(jobs -p) 2>/dev/null; exit\n")
        self.bash.communicate(timeout=20)


@pytest.mark.device
def test_the_tutorial(tmp_path, bus_name):
    write_files(TUTORIAL, tmp_path)
    shell = Shell()
    try:
        shell.type(f"ulimit -c 0; cc() {{ command cc {' '.join(SANITIZERS)} \"$@\"; }}")
        for language, body in blocks(TUTORIAL):
            if language != "console":
                continue
            for session in re.split(r"^\$ ", body, flags=re.M)[1:]:
                command, *expected = session.rstrip("\n").split("\n")
                command = command.replace("/tmp/tutorial", str(tmp_path)).replace(
                    "mkdir ", "mkdir -p ")
                # The shell tells of jobs that were killed, when it likes.
                shown = [line for line in shell.type(command)
                         if not re.match(r"\[\d+\]|bash: line \d+: +\d+ (Killed|Terminated)", line)]
                assert len(shown) == len(expected), (command, shown)
                for line, pattern in zip(shown, expected):
                    assert fnmatch.fnmatchcase(line, pattern.replace("[", "[[]")), (command, line)
    finally:
        shell.end()
