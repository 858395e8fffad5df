# SPDX-License-Identifier: MIT
"""A bus of another user is refused unless it is meant, and one that protects less."""

import os
import signal

import pytest

import symphony_ipc

pytestmark = [pytest.mark.device,
              pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")]

ALICE = 1001


@pytest.fixture
def squatted(bus_name):
    """The bus that this process would have belongs to another uid, and is open to all."""
    there, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(ALICE)
            os.setuid(ALICE)
            bus = symphony_ipc.IPCBus(bus_name, pit=False, mode=0o666)
            bus.initialize()
            os.write(ready, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(ready)
    assert os.read(there, 1) == b"1"
    os.close(there)
    yield bus_name
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_bus_of_another_user_is_refused(squatted):
    for options in ({"mode": 0o600, "grants": True, "reserve": ["sum"]}, {}, {"pit": False},
                    {"owner": 0}, {"owner": 1002}):
        bus = symphony_ipc.IPCBus(squatted, **options)
        with pytest.raises(symphony_ipc.NotPermitted) as caught:
            bus.initialize()
        assert f'"{squatted}"' in str(caught.value) and f"uid {ALICE}" in str(caught.value)
        with pytest.raises(symphony_ipc.NotPermitted):
            bus.call("sum", {"secret": "hunter2"})
        bus.close()


def test_an_extension_does_not_serve_there(squatted):
    for name in (squatted, None):
        with pytest.raises(symphony_ipc.NotPermitted, match=f"uid {ALICE}"):
            symphony_ipc.Extension("sum", bus=name).run()


def test_it_is_joined_when_it_is_meant(squatted):
    for owner in (ALICE, str(ALICE), "any"):
        with symphony_ipc.IPCBus(squatted, pit=False, owner=owner) as bus:
            assert bus.name == squatted


def test_the_environment_says_whose_its_bus_is(squatted, monkeypatch):
    monkeypatch.setenv("SYMPHONY_BUS", squatted)
    monkeypatch.setenv("SYMPHONY_BUS_OWNER", str(ALICE))
    with symphony_ipc.IPCBus(pit=False) as bus:
        assert bus.name == squatted
    with pytest.raises(symphony_ipc.NotPermitted):
        symphony_ipc.IPCBus(squatted, pit=False).initialize()


def test_protections_that_were_asked_for_are_there_or_it_is_an_error(bus_name):
    with symphony_ipc.IPCBus(pit=False, mode=0o644):
        symphony_ipc.IPCBus().initialize()
        symphony_ipc.IPCBus(mode=0o666).initialize()
        for options in ({"mode": 0o600}, {"grants": True}, {"reserve": ["sum"]}):
            with pytest.raises(symphony_ipc.BusError, match="already") as caught:
                symphony_ipc.IPCBus(**options).initialize()
            assert caught.value.errno == 17
    options = {"mode": 0o600, "grants": True, "reserve": ["sum"], "pit": False}
    with symphony_ipc.IPCBus(**options), symphony_ipc.IPCBus(**options):
        pass


def test_default_names_are_the_users_own(monkeypatch):
    monkeypatch.delenv("SYMPHONY_BUS", raising=False)
    with symphony_ipc.IPCBus(pit=False) as bus:
        assert bus.name == f"symphony-{os.geteuid()}"


@pytest.mark.parametrize("owner", [True, 1.0, b"any", -1, 2**32 - 1, 2**64, "nobody", "", "1\0"])
def test_owners_are_uids_or_any(owner):
    with pytest.raises((TypeError, ValueError)):
        symphony_ipc.IPCBus(owner=owner)
