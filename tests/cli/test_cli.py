# SPDX-License-Identifier: MIT
"""symphony(1): what it prints, on terminals and as JSON, and its exit statuses."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from .conftest import NOBODY, shared

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

COMMANDS = ["list", "stat", "top", "monitor", "call", "describe", "route", "trace", "doctor"]
PINS = "/sys/fs/bpf/symphony"


# --- arguments ---------------------------------------------------------------

def test_help_knows_all_commands(cli):
    assert set(COMMANDS) == set(re.findall(r"^  (\w+) +\w", cli("--help").stdout, re.M))
    for command in COMMANDS:
        said = cli(command, "--help").stdout
        assert f"symphony {command}" in said and "--json" in said
        assert max(map(len, said.splitlines())) <= 90
    assert cli("--version").stdout.startswith("symphony ")


WRONG = [
    [], ["nothing"], ["--nothing"], ["-x", "list"], ["--bus"], ["list", "--bus"], ["list", "nothing"], ["list", "a", "b"], ["stat", "a", "b"],
    ["call"], ["call", "worker"], ["call", "worker", "{"], ["call", "worker", "work", "x"],
    ["call", "worker", ""], ["call", "worker", "{}", "--timeout", "x"], ["call", "A", "work"],
    ["call", "worker", "work", '{"a": 1, "b": {"c": 1, "c": 2}}'], ["call", "worker", "[" * 9999],
    ["call", "worker", "[" * 1025 + "]" * 1025], ["call", "worker", "work", "{}", "--key", "-1"],
    ["call", "worker", "work", "{}", "--key", str(1 << 64)], ["call", "worker", "--nothing=1"],
    ["--bus", "A", "list"], ["--bus", "", "stat"], ["--bus", "A", "call", "worker", "work"],
    ["trace", "A"], ["monitor", "--calls", "A"], ["route", "show", "--all"],
    ["route", "show", "--wait", "1"], ["route", "attach", "worker", "canary", "--hook", "route"],
    ["route", "policies", "--bus", "a"], ["route", "detach", "worker", "--wait", "1"],
    ["route", "policies", "a"], ["top", "--delay", "-1"], ["top", "--count", "1e3"],
    ["call", "worker", "{}", "--timeout", "-1"], ["call", "a", "b", "{}", "d"], ["describe"],
    ["route"], ["route", "nothing"], ["route", "attach"], ["route", "attach", "worker"],
    ["route", "set", "worker"], ["route", "detach"], ["route", "detach", "a", "b"],
    ["route", "--hook", "x", "detach", "a"], ["top", "x"], ["top", "--delay", "no"],
    ["top", "--count", "0"], ["monitor", "x"], ["monitor", "--calls", "a", "b"],
    ["trace", "a", "b"], ["trace", "--duration", "0"], ["doctor", "x"]]


def only_error(text):
    """The one object that stderr is with --json."""
    [line] = text.splitlines()
    told = json.loads(line)
    assert list(told) == ["error"] and told["error"]["message"]
    return told["error"]


@pytest.mark.parametrize("args", WRONG)
def test_wrong_arguments_are_2(cli, served, args):
    done = cli(*args, status=2)
    assert "symphony" in done.stderr and not done.stdout
    for options in [["-j", *args], [*args[:1], "--json", *args[1:]]]:
        done = cli(*options, status=2)
        error = only_error(done.stderr)
        assert (error["status"], error["name"], done.stdout) == (2, "EINVAL", "")


def test_a_wrong_option_is_named(cli):
    for args, named in [(["--nothing", "list"], '"--nothing" is not an option'),
                        (["-x", "list"], '"-x" is not an option'),
                        (["list", "-xj"], '"-x" is not an option'),
                        (["list", "--bus", "--js", "-xj"], '"-x" is not an option'),
                        (["list", "--json=1"], '"--json=1" is not an option'),
                        (["list", "--bus"], '"--bus" needs a value'),
                        (["call", "a", "b", "--key"], '"--key" needs a value')]:
        assert named in cli(*args, status=2).stderr


C_NAMES = re.compile(r"sbus_|SBUS_|SYMPHONY_[A-Z]|\bE[A-Z]{3,}\b")


def test_a_full_disk_is_not_success(cli):
    with open("/dev/full", "w") as full:
        for json_too in [[], ["-j"]]:
            done = subprocess.run(["symphony", "route", "policies", *json_too], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
            assert done.returncode == 1 and "stdout" in done.stderr
    assert only_error(done.stderr)["status"] == 1


COMPLETE = """
source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _symphony; echo "${COMPREPLY[@]}"
"""


def completed(*words):
    script = pathlib.Path(__file__).parents[2] / "cli/completion.bash"
    done = subprocess.run(["bash", "-c", COMPLETE, script, *words], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr
    return done.stdout.split()


def test_completion(cli, served):
    assert sorted(completed("symphony", "")) == sorted(COMMANDS)
    assert completed("symphony", "--json", "ro") == ["route"]
    assert completed("symphony", "--bus", served.name[:-1]) == [served.name]
    assert completed("symphony", "-b", served.name, "call", "wor") == ["worker"]
    assert completed("symphony", "route", "attach", "worker", "round") == ["round_robin"]
    assert "--calls" in completed("symphony", "monitor", "--")
    assert completed("symphony", "list", "e") == ["endpoints"]


# --- call, describe ----------------------------------------------------------

def test_call(cli, served):
    assert cli.json("call", "worker", "work", "{}")["version"] in "12"
    assert cli.json("call", "worker", '{"method": "work"}')["version"] in "12"
    assert cli.json("call", "worker", "work", "-", input='{"seconds": 0}')["version"] in "12"
    assert cli.json("--bus", served.name, "call", "worker", "work", "{}", "--key", "7")


def test_call_needs_no_parameters(cli, served):
    assert cli.json("call", "worker", "work")["version"] in "12"
    assert cli.json("call", "worker", "describe")["id"] == "worker"


@pytest.mark.parametrize("number", [
    str(1 << 64), str(10 ** 40), str(-(10 ** 40)), "-9223372036854775808", "0.1", "1e22"])
def test_call_rounds_no_number(cli, served, number):
    for echo in [cli("call", "worker", "echo", f'{{"value": [{number}]}}'),
                 cli("call", "worker", f'{{"method": "echo", "params": {{"value": [{number}]}}}}'),
                 cli("call", "worker", "echo", "-", input=f'{{"value": [{number}]}}')]:
        assert json.loads(echo.stdout) == [json.loads(number)]
        assert "e" in number or number in echo.stdout


def test_call_cuts_nothing(cli, served):
    done = cli("call", "worker", "-", status=2, input='{"method": "work"}\0{}')
    assert "not JSON" in done.stderr
    done = cli("call", "worker", '{"method": "work\\u0000x"}', status=3)
    assert "'work\\x00x'" in done.stderr
    # As infinite as any double is: nobody takes it for a number that it is not.
    cli("call", "worker", "echo", '{"value": 1e400}', status=3)


def test_failures_have_no_names_of_c(cli, served):
    for args, status in [
            (["call", "worker", "nothing"], 3), (["call", "nobody", "work"], 4),
            (["--bus", "no-bus", "call", "worker", "work"], 4), (["stat", "nobody"], 4),
            (["--bus", "no-bus", "list"], 4), (["call", "A", "work"], 2),
            (["call", "worker", "work", '{"seconds": 2}', "--timeout", "0.3"], 5),
            (["route", "attach", "worker", "nothing"], 4),
            (["route", "attach", "nobody", "canary"], 4),
            (["route", "attach", "worker", "canary", "nothing=1"], 2),
            (["route", "attach", "worker", "canary", "percent=101"], 2),
            (["route", "attach", "worker", "canary", "percent"], 2),
            (["route", "attach", "worker", "./none.bpf.o"], 4),
            (["route", "detach", "worker"], 4)]:
        said = cli(*args, status=status)
        assert said.stderr.startswith("symphony: ") and not said.stdout
        assert not C_NAMES.search(said.stderr), said.stderr
        told = cli("-j", *args, status=status)
        error = only_error(told.stderr)
        assert error["status"] == status and error["name"].startswith("E") and not told.stdout
        assert not C_NAMES.search(error["message"])


def test_call_fails_as_it_says(cli, served):
    done = cli("call", "worker", "nothing", "{}", status=3)
    assert '"worker" answered with error -32601' in done.stderr and not done.stdout
    error = only_error(cli("-j", "call", "worker", "nothing", "{}", status=3).stderr)
    assert (error["name"], error["code"]) == ("EREMOTEIO", -32601)
    assert "retry_safe" not in error
    assert only_error(cli("-j", "call", "nobody", "{}", status=4).stderr)["retry_safe"]
    cli("--bus", "no-bus", "call", "worker", "{}", status=4)
    cli("call", "worker", "work", '{"seconds": 2}', "--timeout", "0.3", status=5)
    cli("call", "worker", "{}", status=6, user=NOBODY)


def test_call_whose_replica_dies_is_8(cli, bus, processes):
    replica = processes.start("replica.py", "plain", "worker", "1", ready="worker", bus=bus)
    call = cli.start("--bus", bus.name, "call", "worker", "work", '{"seconds": 60}')
    deadline = time.monotonic() + 60
    while not cli.json("--bus", bus.name, "stat", "worker")["load"]:
        assert time.monotonic() < deadline
    replica.kill()
    call.communicate(timeout=60)
    assert call.returncode == 8


def test_describe(cli, served):
    methods = [method["name"] for method in cli.json("describe", "worker")["methods"]]
    assert {"work", "drain", "describe"} <= set(methods)
    said = cli("describe", "worker").stdout
    assert re.search(r"^Id +worker$", said, re.M) and re.search(r"^work +seconds\?", said, re.M)
    cli("describe", "nobody", status=4)


# --- list, stat, top ---------------------------------------------------------

def test_list(cli, served):
    services = {service["service"]: service for service in
                cli.json("--bus", served.name, "list")}
    assert set(services) == {"worker", served.long}
    worker = services["worker"]
    assert (worker["bus"], worker["uid"], worker["load"]) == (served.name, 0, 0)
    assert len(worker["replicas"]) == 2
    assert all(replica["pid"] > 0 and not replica["draining"] for replica in worker["replicas"])
    assert served.name in [bus["bus"] for bus in cli.json("list", "buses")]
    assert len(cli.json("--bus", served.name, "list", "replicas")) == 3
    assert len(cli.json("--bus", served.name, "list", "endpoints")) == 4
    for kind in ["services", "buses", "replicas", "endpoints"]:
        assert len(cli("list", kind).stdout.splitlines()) > 1
    cli("--bus", "no-bus", "list", status=4)
    assert cli.json("list", user=NOBODY) == []


def test_stat(cli, served):
    stat = cli.json("stat")
    assert stat["bus"]["bus"] == served.name and len(stat["services"]) == 2
    before = cli.json("stat", "worker")
    versions(served, 3)
    cli("call", "worker", "nothing", "{}", status=3)
    worker = cli.json("stat", "worker")
    assert worker["replies"] == before["replies"] + 4
    assert worker["error_replies"] == before["error_replies"] + 1
    assert worker["request_bytes"] > before["request_bytes"] > 0
    assert worker["answer_bytes"] > before["answer_bytes"] > 0
    assert re.search(rf"^Answered +{worker['replies']}, ", cli("stat", "worker").stdout, re.M)
    assert re.search(r"^Copied +[0-9.]+[BK] to replicas, [0-9.]+[BK] to callers$",
                     cli("stat", "worker").stdout, re.M)
    assert re.search(r"^Replicas +2", cli("stat", "worker").stdout, re.M)
    assert re.search(r"^Endpoints +4$", cli("stat").stdout, re.M)
    cli("stat", "nobody", status=4)


def test_top_puts_the_busy_first(cli, served):
    calls = [cli.start("--bus", served.name, "call", "worker", "work", '{"seconds": 8}')
             for _ in range(3)]
    deadline = time.monotonic() + 60
    while cli.json("stat", "worker")["load"] < 3:
        assert time.monotonic() < deadline
    lines = cli("--bus", served.name, "--json", "top", "--count", "2", "--delay", "0.1").stdout
    tops = [json.loads(line) for line in lines.splitlines()]
    assert len(tops) == 2
    assert [service["service"] for service in tops[0]["services"]] == ["worker", served.long]
    assert tops[0]["services"][0]["load"] == 3
    assert "rate" not in tops[0]["services"][0] and tops[1]["services"][0]["rate"] >= 0
    said = cli("--bus", served.name, "top", "--count", "1").stdout
    assert said.index("worker") < said.index(served.long)
    for call in calls:
        call.communicate(timeout=60)
        assert call.returncode == 0


SCREEN = re.compile(r"\033\[[?0-9]*[A-Za-z]")


@pytest.mark.parametrize("args", [["list"], ["list", "replicas"], ["list", "endpoints"],
                                  ["list", "buses"], ["stat"], ["stat", "worker"],
                                  ["top", "--count", "1"], ["route", "show"],
                                  ["describe", "worker"]])
def test_tables_fit(cli, served, args):
    narrow, wide = (SCREEN.sub("", cli.on_terminal(columns, *args)) for columns in (80, 160))
    print(narrow, wide, sep="\n")
    assert max(map(len, narrow.splitlines())) <= 80
    assert max(map(len, wide.splitlines())) <= 160
    if args[0] == "top" or args == ["list"]:
        assert served.long not in narrow and served.long in wide
        assert ("RECOVERY" if args == ["list"] else "99% BELOW") in wide and "LOAD" in narrow
    tiny = SCREEN.sub("", cli.on_terminal(20, *args, rows=5))
    assert tiny or args[0] == "route"


def test_top_leaves_the_terminal_as_it_was(cli, served):
    said = cli.on_terminal(80, "top", "--count", "1")
    assert said.startswith("\033[?1049h") and said.endswith("\033[?25h\033[?1049l")


# --- route -------------------------------------------------------------------

def versions(bus, calls):
    return [bus.call("worker", {"method": "work"}, timeout=30)["version"] for _ in range(calls)]


def shown(cli, bus):
    return {(route["service"], route["hook"]): route
            for route in cli.json("--bus", bus.name, "route", "show")}


@pytest.fixture
def routed(cli, served):
    yield served
    for hook in ["route", "shadow", "admit"]:
        subprocess.run(["symphony", "--bus", served.name, "route", "detach", "worker",
                        "--hook", hook], capture_output=True)


def test_route(cli, routed):
    assert "round_robin" in cli.json("route", "policies")
    said = cli("route", "attach", "worker", "canary", "percent=100").stdout
    assert "canary is attached" in said
    assert versions(routed, 4) == ["2"] * 4
    pin = f"{PINS}/{routed.name}/worker"
    route = shown(cli, routed)["worker", "route"]
    assert (route["policy"], route["pin"]) == ("canary", pin)
    assert "percent=100" in route["options"].split(",")
    assert cli.json("stat", "worker")["hooks"] == ["route"]
    assert "has one already" in cli("route", "attach", "worker", "round_robin", status=1).stderr
    cli("route", "set", "worker", "percent=0")
    assert versions(routed, 4) == ["1"] * 4
    assert "0 to 100" in cli("route", "set", "worker", "percent=101", status=2).stderr
    cli("route", "replace", "worker", "round_robin")
    assert sorted(versions(routed, 4)) == ["1", "1", "2", "2"]
    assert shown(cli, routed)["worker", "route"]["policy"] == "round_robin"
    detached = cli.json("route", "detach", "worker")
    assert (detached["service"], detached["policy"]) == ("worker", "round_robin")
    assert not shown(cli, routed) and not os.path.exists(pin)
    cli("route", "detach", "worker", status=4)


def test_a_shadow_decides_nothing(cli, routed):
    cli("route", "shadow", "worker", "canary", "percent=100")
    assert set(versions(routed, 8)) == {"1", "2"}
    assert list(shown(cli, routed)) == [("worker", "shadow")]
    cli("route", "attach", "worker", "round_robin")
    versions(routed, 4)
    shadow = shown(cli, routed)["worker", "shadow"]
    assert shadow["same"] + shadow["different"] == 12 and shadow["different"]
    assert "same" in cli("route", "show").stdout
    assert len(shown(cli, routed)) == 2
    assert "--hook" in cli("route", "replace", "worker", "canary", status=2).stderr
    cli("route", "replace", "worker", "canary", "--hook", "shadow")
    assert versions(routed, 4) in (["1", "2"] * 2, ["2", "1"] * 2)
    assert "shadow" in cli("route", "shadow", "worker", "acl", status=2).stderr
    cli("route", "detach", "worker", "--hook", "shadow")
    cli("route", "detach", "worker")


def test_route_says_what_is_missing(cli, routed):
    said = cli("route", "attach", "nobody", "round_robin", status=4).stderr
    assert "no service \"nobody\"" in said
    assert "no policy" in cli("route", "attach", "worker", "nothing", status=4).stderr
    cli("--bus", "no-bus", "route", "attach", "worker", "round_robin", status=4)
    cli("route", "attach", "worker", "round_robin", status=6, user=NOBODY)
    assert not os.path.exists(f"{PINS}/{routed.name}/nobody")


def test_pins_are_not_left_to_others(cli, routed):
    subprocess.run(["rmdir", PINS], capture_output=True)
    os.mkdir(PINS)
    os.chown(PINS, 65534, 65534)
    try:
        said = cli("route", "attach", "worker", "round_robin", status=6).stderr
        assert "another user's" in said and not shown(cli, routed)
    finally:
        os.rmdir(PINS)


def test_route_waits_for_the_service_and_outlives_the_bus(cli, bus, processes):
    attach = cli.start("--bus", bus.name, "route", "attach", "worker", "round_robin", "--wait", "90")
    processes.start("replica.py", "plain", "worker", "1", ready="worker", bus=bus)
    attach.communicate(timeout=100)
    assert attach.returncode == 0
    processes.stop()
    processes.running.clear()
    name = bus.name
    bus.close()
    deadline = time.monotonic() + 30
    while name in [there["bus"] for there in cli.json("list", "buses")]:
        assert time.monotonic() < deadline
    left = [route for route in cli.json("route", "show") if route["bus"] == name]
    assert [route["bus_gone"] for route in left] == [True]
    cli("--bus", name, "route", "detach", "worker")
    assert not [route for route in cli.json("route", "show") if route["bus"] == name]
    assert not os.path.exists(f"{PINS}/{name}")


# --- monitor, trace ----------------------------------------------------------

def test_monitor(cli, bus, processes):
    monitor = cli.start("--bus", bus.name, "--json", "monitor", "--duration", "90")
    time.sleep(1)
    processes.start("replica.py", "plain", "worker", "1", ready="worker", bus=bus)
    processes.stop()
    seen = []
    for line in monitor.stdout:
        event = json.loads(line)
        assert event["bus"] == bus.name
        seen.append(event["event"])
        # Who waits for the extension to be up comes and goes, too.
        if seen[-1] == "died" and "unclaimed" in seen:
            break
    assert seen[0] == "joined"
    assert seen.index("claimed") < seen.index("unclaimed")
    monitor.terminate()
    monitor.communicate(timeout=30)
    assert monitor.returncode == 0
    cli("monitor", status=6, user=NOBODY)
    cli("monitor", "--calls", status=6, user=NOBODY)
    assert cli("monitor", "--duration", "0.1").stdout == ""


def traced(cli, bus, *args, calls=10):
    """What the command says of calls that are made while it watches.

    None is made while it begins or ends: that patches the kernel's code, which the
    emulator does not always show to its other processor (see tests/vm/run).
    """
    process = cli.start(*args)
    time.sleep(6)
    versions(bus, calls)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    return out


def test_monitor_of_calls(cli, served):
    lines = traced(cli, served, "--json", "monitor", "--calls", "worker", "--duration", "10")
    events = [json.loads(line) for line in lines.splitlines()]
    assert {event["service"] for event in events} == {"worker"}
    stages = {}
    for event in events:
        stages.setdefault(event["call"], []).append(event["event"])
    assert list(stages.values()) == [["made", "queued", "received", "done"]] * 10
    said = traced(cli, served, "monitor", "--calls", "--count", "8", "--duration", "60", calls=2)
    assert len(said.splitlines()) == 8
    assert 'outcome="answered"' in said and "service=worker" in said


def test_trace(cli, served):
    [worker] = json.loads(traced(cli, served, "--json", "trace", "worker", "--duration", "10"))
    assert worker["service"] == "worker" and worker["outcomes"] == {"answered": 10}
    for stage in ["queue", "service", "total"]:
        times = worker["stages"][stage]
        assert times["count"] == 10 == sum(bucket["count"] for bucket in times["buckets"])
        assert all(bucket["below_ns"] == 2 * bucket["from_ns"] for bucket in times["buckets"])
        assert times["max_ns"] <= times["sum_ns"] <= 10 * times["max_ns"]
    assert worker["stages"]["total"]["sum_ns"] >= worker["stages"]["queue"]["sum_ns"]
    said = traced(cli, served, "trace", "--duration", "10")
    assert "10 answered" in said and "99 % below" in said and "#" in said
    assert cli.json("trace", "nobody", "--duration", "0.1") == []
    cli("trace", status=6, user=NOBODY)


# --- doctor ------------------------------------------------------------------

def test_doctor(cli, served):
    told = cli.json("doctor")
    assert told["works"]
    verdicts = {}
    for check in told["checks"]:
        verdicts.setdefault(check["check"], []).append(check["verdict"])
        assert check["verdict"] == "ok" or check["todo"]
    for check in ["kernel", "module", "device", "abi", "limits", "bus", "btf", "bpffs", "tracefs"]:
        assert set(verdicts[check]) == {"ok"}, check
    assert {"bpf", "io_uring", "seccomp"} <= set(verdicts)
    assert cli("doctor").stdout.endswith(": calls can be made\n")
    told = cli.json("doctor", user=NOBODY)
    assert told["works"] and "note" in {check["verdict"] for check in told["checks"]}


def test_doctor_says_what_to_do_about_the_device(cli):
    os.chmod("/dev/symphony", 0o600)
    try:
        said = cli("doctor", status=1, user=NOBODY).stdout
    finally:
        os.chmod("/dev/symphony", 0o666)
    assert re.search(r"^broken +device .*\n +-> chmod 0666", said, re.M)


def test_another_users_bus_has_to_be_meant(cli):
    bus_name = shared.new_bus_name()
    there, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(1001)
            bus = shared.symphony_ipc.IPCBus(bus_name, pit=False, mode=0o666)
            bus.initialize()
            os.write(ready, b"1")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(there, 1) == b"1"
    try:
        said = cli("--bus", bus_name, "call", "sum", "{}", status=6).stderr
        assert bus_name in said and "uid 1001" in said and "--owner" in said
        cli("--bus", bus_name, "--owner", "1001", "call", "sum", "{}", status=4)
        cli("call", "--bus", bus_name, "sum", "{}", "--owner", "any", status=4)
        cli("--bus", bus_name, "--owner", "1002", "call", "sum", "{}", status=6)
        assert "give a uid" in cli("--bus", bus_name, "--owner", "me", "call", "sum", "{}",
                                   status=2).stderr
        listed = {bus["bus"]: bus["uid"] for bus in cli.json("list", "buses")}
        assert listed[bus_name] == 1001
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
