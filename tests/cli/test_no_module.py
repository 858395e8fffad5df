# SPDX-License-Identifier: MIT
"""symphony(1) on a machine where the module is not loaded."""

import gc
import json
import os
import subprocess
import time

import pytest

KO = os.environ.get("ko", "")

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.exists(KO), reason="needs a guest's $ko"),
]


@pytest.fixture(scope="module", autouse=True)
def unloaded():
    # What tests have opened may be closed, and programs freed, a little later.
    gc.collect()
    deadline = time.monotonic() + 30
    while subprocess.run(["rmmod", "symphony"], capture_output=True).returncode:
        assert time.monotonic() < deadline, "the module is in use"
        time.sleep(0.2)
    yield
    subprocess.run(["insmod", KO], check=True)


@pytest.mark.parametrize("args", [
    ["list"], ["list", "buses"], ["stat"], ["stat", "worker"], ["top", "--count", "1"], ["monitor"],
    ["monitor", "--calls"], ["call", "worker", "{}"], ["describe", "worker"], ["route", "show"],
    ["route", "attach", "worker", "least_loaded"], ["route", "shadow", "worker", "least_loaded"],
    ["trace", "--duration", "1"]])
def test_no_module_is_7(cli, args):
    done = cli(*args, status=7)
    assert "modprobe symphony" in done.stderr and not done.stdout
    error = json.loads(cli("--json", *args, status=7).stderr)["error"]
    assert error["name"] == "ENODEV" and "modprobe symphony" in error["message"]


def test_doctor_says_that_there_is_no_module(cli):
    told = cli.json("doctor", status=1)
    assert not told["works"]
    [module] = [check for check in told["checks"] if check["check"] == "module"]
    assert module["verdict"] == "broken" and "modprobe symphony" in module["todo"]


def test_what_needs_no_module(cli):
    assert "least_loaded" in cli.json("route", "policies")
    cli("route", "attach", "worker", "nothing", status=4)
