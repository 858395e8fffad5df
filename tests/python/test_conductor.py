# SPDX-License-Identifier: MIT
"""The Conductor: workflow files, a run with a death in it, failures, and cleaning up."""

import asyncio
import collections
import io
import itertools
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

import symphony_ipc
from symphony_ipc import conductor, workflow

TOP = pathlib.Path(__file__).parents[2]
EXAMPLES = TOP / "docs/examples"
BIN = pathlib.Path(symphony_ipc.__file__).parents[2] / "examples"
PLAIN = str(TOP / "tests/python/extensions/plain.py")
TIMEOUT = 100

_numbers = itertools.count()


class Run:
    """A Conductor in a process of its own, on a bus of its own."""

    def __init__(self, file, *options):
        self.bus = f"conduct-{os.getpid()}-{next(_numbers)}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "symphony_ipc.conductor", str(file), "--bus", self.bus,
             "--set", f"bin={BIN}", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self):
        self.out, self.err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode

    def children(self):
        """The processes that were started for this bus and are there now."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
            except OSError:
                continue
            if f"SYMPHONY_BUS={self.bus}".encode() in environment.split(b"\0"):
                found.append(int(entry.name))
        return found

    def wait_for(self, text):
        """Reads what it says up to a line with the text."""
        for line in self.process.stdout:
            if text in line:
                return
        raise AssertionError(f"it ended without '{text}': {self.process.stderr.read()}")


@pytest.fixture
def run():
    runs = []

    def start(*args):
        runs.append(Run(*args))
        return runs[-1]

    yield start
    for one in runs:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


@pytest.fixture
def write(tmp_path):
    def write(nodes, **more):
        file = tmp_path / "flow.json"
        file.write_text(json.dumps({
            "vars": {"bin": "."},
            "extensions": {"count": {"argv": ["$bin/count"]}},
            "pools": {"workers": 2}, "nodes": nodes, **more}))
        return file

    return write


def words(*texts):
    return {"extension": "count", "method": "words", "params": {"words": list(texts)}}


# --- the file


def test_the_example_is_a_workflow():
    plan = workflow.load(EXAMPLES / "index.json", {"shards": 5, "merges": 1})
    assert list(plan.nodes) == ["split", *[f"tokenize.{i}" for i in range(5)],
                                *[f"count.{i}" for i in range(5)], "merge.0", "index"]
    assert ["split", "tokenize.2"] in plan.edges
    assert ["count.1", "merge.0"] in plan.edges
    assert ["merge.0", "index"] in plan.edges
    assert len(plan.edges) == 5 + 5 + 5 + 1


def test_results_stand_where_they_are_referred_to(write):
    plan = workflow.load(write({
        "one": words("a"),
        "many": {"each": 3, **words("$i")},
        "last": {**words(), "after": ["one"], "params": {"words": [
            {"$result": "one", "item": "a"}, {"$result": "many", "share": [1, 2]},
            {"$result": "many.2"}]}},
    }))
    assert plan.nodes["many.1"].params == {"words": [1]}
    assert plan.nodes["last"].before == ["one", "many.1", "many.2"]
    results = {"one": {"a": 1}, "many.0": 10, "many.1": 11, "many.2": 12}
    assert workflow.resolve(plan.nodes["last"].params, results) == {"words": [1, [11], 12]}


@pytest.mark.parametrize("change, message", [
    ({"nodes": {"a": {"extension": "count"}}}, "nodes.a: 'method' is missing"),
    ({"nodes": {"a": {**words(), "when": 1}}}, "nodes.a: unknown member 'when'"),
    ({"nodes": {"a": {"extension": "x", "method": "m"}}}, "no extension 'x'"),
    ({"nodes": {"a": {**words(), "after": ["b"]}}}, "nodes.a.after: there is no node 'b'"),
    ({"nodes": {"a": {**words(), "units": 3}}}, "nodes.a.units: pool 'workers' has 2"),
    ({"nodes": {"a": words("$b")}}, "there is no variable '$b'"),
    ({"nodes": {"a": words({"$result": "b"})}}, "words[0]: there is no node 'b'"),
    ({"nodes": {"a": {**words(), "each": 0}}}, "nodes.a.each: expected a positive integer"),
    ({"nodes": {}, "kill": {"extension": "count"}}, "kill: 'count' has 1 replicas"),
    ({"nodes": {}, "check": {"node": "a", "argv": ["true"]}}, "check: there is no node 'a'"),
    ({"nodes": []}, "nodes: expected dict"),
    ({"nodes": {"a": {**words(), "after": [["b"]]}}}, "nodes.a.after: expected the id of a node"),
    ({"nodes": {"a": {**words(), "after": [{}]}}}, "nodes.a.after: expected the id of a node"),
    ({"nodes": {"a": {**words(), "units": 0}}}, "nodes.a.units: expected a positive integer"),
    ({"nodes": {"a": {**words(), "units": -1}}, "pools": {}}, "nodes.a.units: expected a positive"),
    ({"nodes": {"a": {**words(), "timeout": -1}}}, "nodes.a.timeout: expected seconds"),
    ({"nodes": {"a": {**words(), "timeout": 10 ** 30}}}, "nodes.a.timeout: expected seconds"),
    ({"nodes": {"a": {**words(), "each": 10 ** 6 + 1}}}, "nodes.a.each: a workflow has at most"),
    ({"nodes": {"a": words(math.inf)}}, "not JSON: Infinity is no number"),
    ({"nodes": {"a": words("\ud800")}}, "not JSON: a text has half of a character"),
    ({"nodes": {}, "backoff_ms": -1}, "backoff_ms: expected an integer, not negative"),
    ({"nodes": {}, "kill": {"extension": "count", "after": -1}}, "kill.after: expected an integer"),
    ({"nodes": {}, "extensions": {"count": {"argv": ["a\0b"]}}}, "count.argv: no argument"),
    ({"nodes": {}, "extensions": {"Count": {"argv": ["a"]}}}, '"Count" cannot be an id'),
])
def test_what_is_wrong_in_a_file_is_told(write, change, message):
    with pytest.raises(workflow.WorkflowError, match=re.escape(message)):
        workflow.load(write(**change))


@pytest.mark.parametrize("text, message", [
    (b"[" * 100000, "not JSON: it nests too deep"),
    (b'{"about": "a", "extensions": {}, "nodes": {}, "vars": {"a": ' + b"[" * 3000 +
     b"]" * 3000 + b"}}", "it nests too deep"),
    (b'{"attempts": 1e999}', "not JSON: 1e999 is no number"),
    (b"\xff", "not JSON: "),
    (b'{"nodes": {"a": {}, "b": {}, "a": {}}}', "not JSON: an object has the member 'a' twice"),
], ids=["depth", "depth of a variable", "infinity", "no text", "twice"])
def test_what_is_no_workflow_at_all_is_told(tmp_path, text, message):
    file = tmp_path / "flow.json"
    file.write_bytes(text)
    with pytest.raises(workflow.WorkflowError, match=re.escape(f"{file}: {message}")):
        workflow.load(file)


@pytest.mark.parametrize("option", ["count:\u00b2", "count:" + "9" * 5000, "count:-1"])
def test_calls_before_a_death_are_a_number(write, option):
    options = conductor.parse([str(write({})), f"--kill={option}"])
    with pytest.raises(workflow.WorkflowError, match="expected ID or ID:N"):
        conductor.read_plan(options)


def test_a_variable_that_is_no_json_is_text(write):
    for text in ["[" * 100000, "9" * 5000, "NaN", "a"]:
        options = conductor.parse([str(write({"a": words("$bin")})), f"--set=bin={text}"])
        assert conductor.read_plan(options).nodes["a"].params == {"words": [text]}


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "\ud800", b"x"])
def test_a_variable_is_what_a_message_can_say(write, value):
    file = write({"one": {"extension": "echo", "method": "m"}})
    with pytest.raises(workflow.WorkflowError, match="a variable"):
        workflow.load(file, {"x": value})


def test_a_wrong_file_or_option_is_status_2(write, tmp_path, capsys):
    assert conductor.main([str(tmp_path / "none.json")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert conductor.main([str(write({})), "--set", "x=1"]) == 2
    assert "no variable 'x'" in capsys.readouterr().err
    assert conductor.main([str(write({})), "--kill", "count:x"]) == 2
    capsys.readouterr()
    assert conductor.main([str(write({})), "--bus", "No"]) == 2
    assert '"No" cannot be' in capsys.readouterr().err
    assert conductor.main([str(write({})), "--output", str(tmp_path / "none/out")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_progress_is_one_line_on_a_terminal():
    out = io.StringIO()
    progress = conductor.Progress(out, line=True)
    progress.status("1 of 2")
    progress.step("not shown")
    progress.event("killed")
    progress.end()
    assert out.getvalue() == "\r\x1b[K1 of 2\r\x1b[Kkilled\n\r\x1b[K1 of 2\r\x1b[K"


class Answers:
    """A bus on which each call has the next of these outcomes."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    def send_message(self, extension_id, message, timeout=None):
        call = asyncio.get_running_loop().create_future()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            call.set_exception(outcome)
        else:
            call.set_result(outcome)
        return call


def test_bytes_are_those_that_went(write):
    answers = [None, {"a": "\u00e4"}, b"123", symphony_ipc.Dead("dead", call_id=1),
               symphony_ipc.UnknownExtension("none"),
               symphony_ipc.ExtensionError("no", 5, call_id=2),
               symphony_ipc.ExtensionError("no", 5, [1], call_id=3)]
    conduct = conductor.Conductor(workflow.load(write({})), "bus", None)
    conduct.bus = Answers(*answers)

    async def main():
        for _ in answers:
            try:
                await conduct.call("x", "m", {})
            except symphony_ipc.BusError:
                pass

    asyncio.run(main())
    one = conduct.figures["x"]
    assert (one.calls, one.failed) == (7, 4)
    assert one.sent == 6 * len('{"method":"m","params":{}}')
    assert one.received == len('null{"a":"xx"}123{"code":5,"message":"no"}'
                               '{"code":5,"message":"no","data":[1]}')


def test_a_death_is_one_however_many_calls_it_ends(write):
    conduct = conductor.Conductor(workflow.load(write({})), "bus", None)
    conduct.state = {"state": "done", "counts": {"done": 4}, "total": 4, "attempts": 7, "retries": 3}
    conduct.deaths, conduct.lost = 1, 2
    conduct.causes["Timeout"] = 1
    assert asyncio.run(conduct.verdict()) == [
        "4 of 4 nodes done in 7 attempts, 3 retried; 1 replica died, which ended 2 calls; "
        "1 call failed with Timeout"]


# --- whole runs


@pytest.mark.device
def test_an_index_with_a_death_in_it(run, tmp_path):
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "build").mkdir()
    (tree / "build/left_out.c").write_text("hidden")
    expected = collections.Counter()
    for i in range(9):
        text = " ".join(f"word{i % n} _x 9lives" for n in (1, 2, 3))
        (tree / ("inner" if i % 2 else ".") / f"f{i}.c").write_text(text)
        expected.update(re.findall(r"[A-Za-z_]\w*", text))
    output = tmp_path / "output.json"
    one = run(EXAMPLES / "index.json", "--set", f"root={tree}", "--set", "shards=5",
              "--kill", "tokenize:1", "--output", str(output))
    status = one.end()
    assert status == 0, one.err + one.out
    assert json.loads(output.read_text())["index"] == expected
    assert "killed with SIGKILL" in one.out
    # A call that was made while the replica died may have been given to it too.
    lost = int(re.search(r"retried; 1 replica died, which ended (\d+) calls?$", one.out, re.M)[1])
    assert 1 <= lost <= 4
    assert f"14 of 14 nodes done in {14 + lost} attempts, {lost} retried" in one.out
    assert re.search(rf"^ +tokenize +{5 + lost} +{lost} ", one.out, re.M)
    assert one.out.endswith("s\n") and "outcome: ok" in one.out
    assert one.children() == []


@pytest.mark.device
def test_another_result_is_a_failure(run, write):
    one = run(write({"a": words("x", "y", "x")}, check={
        "node": "a", "argv": ["echo", '{"x": 2, "y": 2}']}))
    assert one.end() == 1
    assert "y: 1 and not 2" in one.err
    assert "outcome: failed" in one.out


@pytest.mark.device
def test_an_error_reply_ends_what_waits_for_it(run, write):
    one = run(write({"a": words(5), "b": {**words(), "after": ["a"]}, "c": words("x")},
                    attempts=3))
    assert one.end() == 1
    assert "words[0]: expected a string" in one.out
    assert "1 of 3 nodes done in 2 attempts" in one.err
    assert one.children() == []


@pytest.mark.device
def test_an_extension_that_does_not_start(run, write):
    one = run(write({}, extensions={"x": {"argv": ["false"]}}))
    assert one.end() == 1
    assert "x[0] ended with status 1 before it answered" in one.err
    one = run(write({}, extensions={"x": {"argv": ["no-such-program"]}}))
    assert one.end() == 1
    assert "there is no program 'no-such-program'" in one.err


@pytest.mark.device
def test_an_unknown_method_is_told_before_the_start(run, write):
    one = run(write({"a": {"extension": "count", "method": "wrods"}}))
    assert one.end() == 1
    assert "has no method 'wrods'; it has describe, words" in one.err


@pytest.mark.device
@pytest.mark.parametrize("number, status", [
    (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_process_is_left_however_it_ends(run, write, number, status):
    nap = {"extension": "plain", "method": "nap", "params": {"seconds": 300}, "timeout": 300}
    one = run(write({"a": words("x"), "b": {**nap, "after": ["a"]}}, extensions={
        "count": {"argv": ["$bin/count"]}, "plain": {"argv": [sys.executable, PLAIN]}}))
    one.wait_for("a done")
    assert len(one.children()) >= 2
    one.process.send_signal(number)
    assert one.end() == status
    deadline = time.monotonic() + 20
    while one.children():
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.1)
