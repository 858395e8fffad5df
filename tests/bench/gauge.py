# SPDX-License-Identifier: MIT
"""Figures of the benchmarks: measured, read, judged, shown.

A measurement is text, as the programs print it: "name size figure" a line,
instructions per round trip; "kernel RELEASE" stands first. The baseline is
such a text with a comment.
"""

import os
import pathlib
import platform
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
BASELINE = HERE / "baseline.txt"
PAGE = HERE.parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: made by make bench-insn UPDATE=1 -->", "<!-- end of figures -->"

PROGRAMS = ["calibrate", "futex", "pipe", "seqpacket", "symphony", "symphony deadline",
            "symphony services", "symphony spread", "symphony outstanding",
            "symphony router", "symphony admit", "symphony stats", "symphony traced",
            "batch", "batch oneway", "batch sendmmsg",
            "libsymphony", "pit"] + [f"roundtrip.py {what}" for what in (
                "asyncio", "asyncio-flight", "pit", "pit-echo", "remote", "remote-async",
                "remote-call", "remote-bytes", "flight", "flight-async")]

SIZES = {"64": "64 B", "4096": "4 KiB", "65536": "64 KiB"}
ROUND_TRIPS = {
    "futex": "futex and shared memory",
    "pipe": "pipe",
    "seqpacket": "unix socket, seqpacket",
    "symphony": "**Symphony, ioctl**",
    "symphony-deadline": "**Symphony, ioctl, with a deadline**",
    "symphony-router": "**Symphony, ioctl, routed by a BPF program**",
    "symphony-admit": "**Symphony, ioctl, admitted by a BPF program**",
    "symphony-stats": "**Symphony, ioctl, with the times of calls taken**",
    "symphony-traced": "**Symphony, ioctl, with its tracepoints on**",
    "libsymphony": "**Symphony, libsymphony**",
    "ring": "**Symphony, io_uring, 32 at a time**",
}
ONE_WAY = {
    "sendmmsg": "unix socket, sendmmsg and recvmmsg",
    "oneway": "**Symphony, io_uring**",
}
CALLS = {
    "pit-null": "C to the Pit, answering null",
    "pit-value": "C to the Pit, answering a number",
    "python-pit": "Python to the Pit, answering a number",
    "python-pit-echo": "Python to the Pit, three values there and back",
    "python-remote": "Python to a Python extension in its own process, the same",
    "python-remote-async": "Python to an async method there",
    "python-asyncio": "*the same through an asyncio unix socket, in JSON*",
    "python-flight": "1,000 in flight: Python to a Python extension",
    "python-flight-async": "1,000 in flight: Python to an async method there",
    "python-asyncio-flight": "*1,000 in flight through an asyncio unix socket, in JSON*",
}
# Of python-remote: what is left out, and between which two figures that stands.
PARTS = {
    "the event loop, and what waits in it": ("python-remote -", "python-remote-call -"),
    "JSON, both ways, in both processes": ("python-remote-call -", "python-remote-bytes -"),
    "the binding, and Python around the call": ("python-remote-bytes -", "libsymphony 64"),
    "libsymphony": ("libsymphony 64", "symphony 64"),
    "the kernel, and switching between the processes": ("symphony 64", None),
}
# At 64 B: the figure at each of these counts of what the title says.
COUNTS = ["1", "100", "10000"]
FLAT = {
    "services": "services on the bus, one of them called",
    "spread": "services on the bus, all called, in no order",
    "outstanding": "calls outstanding",
}
# What is judged, each against a peer: the peer's figure in the same run.
PEER_OF = {
    "symphony": "seqpacket",
    "symphony-deadline": "seqpacket",
    "symphony-router": "seqpacket",
    "symphony-admit": "seqpacket",
    "symphony-stats": "seqpacket",
    "symphony-traced": "seqpacket",
    "libsymphony": "seqpacket",
    "ring": "seqpacket",
    "oneway": "sendmmsg",
    "pit-null": None,
    "pit-value": None,
    "python-pit": "python-asyncio",
    "python-pit-echo": "python-asyncio",
    "python-remote": "python-asyncio",
    "python-remote-async": "python-asyncio",
    "python-remote-call": "python-asyncio",
    "python-remote-bytes": "python-asyncio",
    "python-flight": "python-asyncio-flight",
    "python-flight-async": "python-asyncio-flight",
}

GROWTH = 1.03
# Of rows in which both processes have event loops that wait for each other, or many
# tasks do: who runs when differs from boot to boot, by up to 3 %, and by 7 % for the
# peer of those in flight.
GROWTH_OF = {"python-remote-async": 1.08, "python-flight": 1.1, "python-flight-async": 1.1}
# Of a figure over that at the first count.
FLATNESS = 1.05
# Instructions, asserted on the baseline's kernel. A pair is a difference.
TARGETS = [
    (("symphony 64",), 11000),
    (("symphony-deadline 64",), 12000),
    (("symphony 4096",), 14000),
    (("symphony 65536",), 46000),
    (("symphony-router 64", "symphony 64"), 500),
    (("symphony-admit 64", "symphony 64"), 500),
    (("libsymphony 64", "symphony 64"), 1000),
    (("ring 64",), 6000),
    (("ring 4096",), 9000),
    (("ring 65536",), 41000),
    (("oneway 64",), 2000),
    (("oneway 4096",), 3500),
    (("pit-null -", "pit-null-direct -"), 300),
    (("pit-value -", "pit-value-direct -"), 300),
    (("python-pit -",), 5000),
    (("python-remote -",), 100000),
    (("python-remote-async -",), 100000),
    (("python-flight -",), 70000),
    (("python-flight-async -",), 70000),
]


def measure():
    """Run everything; the text of a measurement."""
    lines = [f"kernel {platform.release()}"]
    env = os.environ | {"PYTHONHASHSEED": "0"}
    for program in PROGRAMS:
        name, *arguments = program.split()
        if name.endswith(".py"):
            command = [sys.executable, HERE / name]
        else:
            command = [os.path.join(os.environ["O"], "bench", name)]
        done = subprocess.run(command + arguments, env=env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"bench: {program}: failed with status {done.returncode}")
        lines += done.stdout.splitlines()
        print(f"# {program}: done", file=sys.stderr)
    return "\n".join(lines) + "\n"


class Figures(dict):
    """A measurement: "name size" to a number; the kernel it was made on."""

    def __init__(self, text):
        super().__init__()
        self.kernel = None
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if line.startswith("#") or not line:
                continue
            if name == "kernel":
                self.kernel = value
            else:
                self[name] = int(value)

    def counts_instructions(self):
        return abs(self["clock 1000"] - 1000) <= 10

    def ratio(self, row):
        """Of a row to its peer; None without one."""
        name, size = row.split(" ")
        peer = f"{PEER_OF.get(name)} {size}"
        return self[row] / self[peer] if peer in self else None

    def ours(self):
        """The rows that are judged."""
        return [row for row in self if row.split(" ")[0] in PEER_OF]


def judge(now, baseline):
    """The verdicts: a list of (good, claim, why); good is None for a skip."""
    verdicts = []

    def tell(good, claim, why=""):
        verdicts.append((good, claim, why))

    same = now.kernel == baseline.kernel
    series = now.kernel.split(".")[:2] == baseline.kernel.split(".")[:2]
    elsewhere = f"kernel {now.kernel}, the baseline is of {baseline.kernel}"
    for row in now.ours():
        if row not in baseline:
            tell(False, f"{row} is in the baseline", "make bench-insn UPDATE=1 puts it there")
    for row in baseline.ours():
        growth = GROWTH_OF.get(row.split(" ")[0], GROWTH)
        if row not in now:
            tell(False, f"{row} was measured", "it is in the baseline, but not in this run")
            continue
        ratio, before = now.ratio(row), baseline.ratio(row)
        if ratio is not None and before is not None:
            tell(ratio <= before * growth if series else None,
                 f"{row}: {ratio:.3f} of {PEER_OF[row.split(' ')[0]]}, baseline {before:.3f}",
                 f"{ratio / before - 1:+.1%}, at most +{growth - 1:.0%}" if series else elsewhere)
        claim = f"{row}: {now[row]} instructions, baseline {baseline[row]}"
        if not same:
            tell(None, claim, elsewhere)
        else:
            tell(now[row] <= baseline[row] * growth, claim,
                 f"{now[row] / baseline[row] - 1:+.1%}, at most +{growth - 1:.0%}")
    for rows, limit in TARGETS:
        missing = [row for row in rows if row not in now]
        claim = f"{' above '.join(rows)}: at most {limit} instructions"
        if missing:
            tell(False, claim, f"{missing[0]} was not measured")
            continue
        figure = now[rows[0]] - (now[rows[1]] if len(rows) > 1 else 0)
        if not same:
            tell(None, claim, elsewhere)
        else:
            tell(figure <= limit, f"{claim}: {figure}")
    for name in FLAT:
        for count in COUNTS[1:]:
            row, first = f"{name} {count}", f"{name} {COUNTS[0]}"
            missing = [row for row in (first, row) if row not in now]
            if missing:
                tell(False, f"{row} is as {first}", f"{missing[0]} was not measured")
                continue
            ratio = now[row] / now[first]
            tell(ratio <= FLATNESS, f"{row}: {ratio:.3f} of {first}, at most {FLATNESS}")
    return verdicts


def aligned(rows):
    """A Markdown table whose source reads as a table too."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    rows = [[cell.ljust(width) if not i else cell.rjust(width)
             for i, (cell, width) in enumerate(zip(row, widths))] for row in rows]
    rule = ["-" * width if not i else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule] + rows[1:])


def table(now):
    """The tables, in thousand instructions, or in us where the clock is one."""
    unit = "thousand instructions" if now.counts_instructions() else "us"

    def figure(row):
        if row not in now:
            return ""
        ratio = now.ratio(row)
        return f"{now[row] / 1000:.2f}" + (f" ({ratio:.2f})" if ratio else "")

    def figure_of_first(name, count):
        row, first = f"{name} {count}", f"{name} {COUNTS[0]}"
        if row not in now or first not in now:
            return ""
        return f"{now[row] / 1000:.2f} ({now[row] / now[first]:.3f})"

    round_trips = [[f"{unit} a round trip (of seqpacket)"] + list(SIZES.values())]
    for name, title in ROUND_TRIPS.items():
        round_trips.append([title] + [figure(f"{name} {size}") for size in SIZES])
    one_way = [[f"{unit} a message one way, 32 at a time (of sendmmsg)"] + list(SIZES.values())]
    for name, title in ONE_WAY.items():
        one_way.append([title] + [figure(f"{name} {size}") for size in SIZES])
    calls = [[f"{unit} a call (of asyncio)", "", "above the method's own"]]
    for name, title in CALLS.items():
        row, direct = f"{name} -", f"{name}-direct -"
        if row not in now:
            continue
        above = f"{(now[row] - now[direct]) / 1000:.2f}" if direct in now else ""
        calls.append([title, figure(row), above])
    parts = [[f"{unit} of a call from Python to another process", "", "share"]]
    whole = now.get(next(iter(PARTS.values()))[0])
    for title, (row, without) in PARTS.items():
        if row not in now or (without and without not in now):
            continue
        figure_of_part = now[row] - (now[without] if without else 0)
        parts.append([title, f"{figure_of_part / 1000:.2f}", f"{figure_of_part / whole:.0%}"])
    flat = [[f"{unit} a round trip at 64 B (of the first)"]
            + [f"{int(count):,}" for count in COUNTS]]
    for name, title in FLAT.items():
        flat.append([title] + [figure_of_first(name, count) for count in COUNTS])
    return "\n\n".join(map(aligned, (round_trips, one_way, calls, parts, flat))) + "\n"


def update(text, commit):
    """Make a measurement the baseline, and the table of the page."""
    now = Figures(text)
    BASELINE.write_text("# make bench-insn UPDATE=1 makes this file: instructions per round trip\n"
                        + text)
    head, rest = PAGE.read_text().split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(f"{head}{BEGIN}\n"
                    f"`make bench-insn`, Linux {now.kernel}, commit {commit}:\n\n"
                    f"{table(now)}{END}{tail}")
