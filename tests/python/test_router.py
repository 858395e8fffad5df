# SPDX-License-Identifier: MIT
"""Policies attached from Python: options, replacing, pins, errors."""

import ast
import os
import pathlib

import pytest

import symphony_ipc

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture
def worker(bus, processes):
    """A bus with two replicas of "worker"; "2" came last."""
    for version in "12":
        processes.start("replica.py", "plain", "worker", version, ready="worker", bus=bus)
        while version not in versions(bus, 4):
            pass
    return bus


@pytest.fixture
def pin(worker):
    path = f"/sys/fs/bpf/{worker.name}"
    yield path
    if os.path.exists(path):
        os.unlink(path)


def versions(bus, calls):
    return [bus.call("worker", {"method": "work"}, timeout=30)["version"] for _ in range(calls)]


def test_options_are_set_live(worker):
    with worker.route("worker", "canary", percent=25) as router:
        assert (router.bus, router.service, router.policy) == (worker.name, "worker", "canary")
        assert router.get("percent") == 25
        got = versions(worker, 200).count("2")
        print(f"25 % asked for, {got / 2} % of 200 calls")
        assert 48 <= got <= 52
        router.set(percent=100)
        assert versions(worker, 8) == ["2"] * 8
        router.set(percent=0)
        assert versions(worker, 8) == ["1"] * 8
    with worker.route("worker", "round_robin"):
        assert versions(worker, 8) in (["1", "2"] * 4, ["2", "1"] * 4)


def test_is_replaced_and_goes_with_its_object(worker):
    router = worker.route("worker", "canary", percent=100)
    with pytest.raises(symphony_ipc.BusError, match="has one already") as caught:
        worker.route("worker", "round_robin")
    assert caught.value.errno == 17
    router.replace("canary", percent=0, newest=1)
    assert versions(worker, 8) == ["1"] * 8
    with pytest.raises(symphony_ipc.BusError, match="from 0 to 100"):
        router.replace("canary", percent=101)
    assert router.policy == "canary" and "worker" in repr(router)
    del router
    worker.route("worker", "round_robin").detach()


def test_pinned_it_is_found_again(worker, pin):
    from symphony_ipc.router import POLICIES, open_router

    router = worker.route("worker", "canary", percent=100)
    router.pin(pin)
    del router
    assert versions(worker, 8) == ["2"] * 8
    with open_router(pathlib.Path(pin)) as again:
        assert again.get("percent") == 100
        again.set(percent=0)
        assert versions(worker, 8) == ["1"] * 8
    assert not os.path.exists(pin)
    with pytest.raises(symphony_ipc.BusError, match="nothing is pinned"):
        open_router(pin)
    assert "canary" in POLICIES


def test_an_acl_has_a_list(worker):
    pairs = [f"{os.geteuid()}::worker", "12345:worker:worker"]
    with worker.route(None, "acl", allow=pairs) as router:
        assert router.service is None
        versions(worker, 1)
        router.set(deny=pairs)
        with pytest.raises(symphony_ipc.NotPermitted):
            versions(worker, 1)
        router.set(allow=pairs[0])
        versions(worker, 1)
    # Closed without it.
    with pytest.raises(symphony_ipc.NotPermitted):
        versions(worker, 1)


def test_errors_name_the_cause(bus):
    with pytest.raises(symphony_ipc.UnknownExtension, match='service "nobody"'):
        bus.route("nobody", "canary")
    with pytest.raises(symphony_ipc.BusError, match="no policy"):
        bus.route("nobody", "nonsense")
    with pytest.raises(symphony_ipc.BusError, match="it has bound=100"):
        bus.route(None, "consistent_hash", percent=3)


def test_stubs():
    from symphony_ipc import _router

    stub = ast.parse(pathlib.Path(_router.__file__).with_name("_router.pyi").read_text())
    router = next(node for node in stub.body if isinstance(node, ast.ClassDef))
    names = {node.name for node in router.body if not node.name.startswith("_")}
    assert names == {name for name in vars(_router.Router) if not name.startswith("_")}
