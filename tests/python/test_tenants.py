# SPDX-License-Identifier: MIT
"""What may be claimed on a bus, and how much there is of everything."""

import asyncio
import os

import pytest

import symphony_ipc
from conftest import awaited
from symphony_ipc import errors

pytestmark = pytest.mark.device


def claim(extension_id, **options):
    """Become that extension, and stop at once."""
    ext = symphony_ipc.Extension(extension_id, **options)

    @ext.method
    async def nothing():
        pass

    async def main():
        serving = asyncio.create_task(ext.serve())
        await asyncio.sleep(0)
        ext.stop()
        await serving

    asyncio.run(main())


class TestGrants:
    @pytest.fixture
    def creator(self, bus_name):
        with symphony_ipc.IPCBus(pit=False, grants=True) as bus:
            yield bus

    @pytest.fixture
    def grant(self, creator):
        fd = creator.grant("worker")
        yield fd
        os.close(fd)

    def test_no_id_is_claimed_without_one(self, creator):
        with pytest.raises(symphony_ipc.NotPermitted, match="grant"):
            claim("worker")

    def test_one_is_for_one_id(self, grant):
        claim("worker", grant=grant)
        with pytest.raises(symphony_ipc.NotPermitted):
            claim("other", grant=grant)

    def test_one_can_be_inherited(self, grant, creator, processes, monkeypatch):
        processes.start("replica.py", "plain", "worker", "1", ready="worker", bus=creator,
                        pass_fds=[grant], env=os.environ | {"SYMPHONY_GRANT": str(grant)})

    def test_the_environment_is_read_once(self, grant, monkeypatch):
        monkeypatch.setenv("SYMPHONY_GRANT", str(grant))
        claim("worker")
        assert "SYMPHONY_GRANT" not in os.environ
        with pytest.raises(symphony_ipc.NotPermitted):
            claim("worker")

    def test_only_the_creator_gives_them(self, creator):
        with symphony_ipc.IPCBus(pit=False) as other:
            with pytest.raises(symphony_ipc.NotPermitted, match="created"):
                other.grant("worker")

    def test_reserved_ids_need_one(self, bus_name):
        with symphony_ipc.IPCBus(pit=False, reserve=["worker"]) as bus:
            claim("other")
            with pytest.raises(symphony_ipc.NotPermitted):
                claim("worker")
            grant = bus.grant("worker")
            claim("worker", grant=grant)
            os.close(grant)

    def test_what_is_no_grant(self, creator):
        with open(os.devnull) as file, pytest.raises(symphony_ipc.BusError) as caught:
            claim("worker", grant=file.fileno())
        assert caught.value.errno == 9

    def test_wrong_reservations(self, bus_name):
        with pytest.raises(TypeError):
            symphony_ipc.IPCBus(pit=False, reserve=[1])
        with pytest.raises(ValueError):
            symphony_ipc.IPCBus(pit=False, reserve=["No"])


class TestPit:
    def test_nobody_becomes_half_of_it(self, bus_name):
        with symphony_ipc.IPCBus() as conductor:
            with pytest.raises(symphony_ipc.NotPermitted):
                claim("pool_manager")
            conductor.serve_pit()
            with pytest.raises(symphony_ipc.NotPermitted):
                claim("pool_manager")
            claim("other")

    def test_a_second_conductor_cannot_serve_its_own_but_call(self, bus_name):
        with symphony_ipc.IPCBus() as first, symphony_ipc.IPCBus() as second:
            first.serve_pit()
            told = f"by process {os.getpid()} of uid {os.geteuid()}, as by another Conductor"
            with pytest.raises(symphony_ipc.NotPermitted, match=told) as caught:
                second.serve_pit()
            assert caught.value.extension_id in first.pit
            assert not second.serving
            assert second.call("pool_manager", {"method": "describe"})["id"] == "pool_manager"


    def test_a_conductor_is_restarted_while_extensions_go_on(self, bus_name):
        first = symphony_ipc.IPCBus()
        first.initialize()
        first.serve_pit()
        with symphony_ipc.IPCBus(pit=False) as extension:
            first.close()
            with symphony_ipc.IPCBus() as second:
                second.serve_pit()
                assert extension.call("pool_manager", {"method": "describe"})["id"] == "pool_manager"


class TestLimits:
    def test_use_is_counted(self, bus):
        before = bus.limits()
        with symphony_ipc.IPCBus(pit=False):
            after = bus.limits()
        assert after["user_endpoints"]["used"] == before["user_endpoints"]["used"] + 1
        assert after["user_pool"]["used"] > before["user_pool"]["used"]
        assert 0 < after["user_endpoints"]["used"] < after["user_endpoints"]["max"]
        assert before["calls_max"] > 0

    def test_they_can_be_asked_for_without_a_bus(self, bus_name):
        assert symphony_ipc.IPCBus(pit=False).limits()["pool_max"] > 0

    def test_errors_name_the_limit(self, bus, processes):
        processes.start("plain.py", ready="plain", bus=bus)
        with pytest.raises(symphony_ipc.TooLarge) as caught:
            bus.call("plain", 1, reply_max=1 << 30)
        assert caught.value.limit == "reply"
        with pytest.raises(symphony_ipc.TooLarge) as caught:
            awaited(bus.send_message("plain", 1, reply_max=1 << 30))
        assert caught.value.limit == "reply"

    def test_other_errors_name_none(self, bus):
        with pytest.raises(symphony_ipc.UnknownExtension) as caught:
            bus.call("nobody", 1)
        assert caught.value.limit is None


def test_names_of_limits_are_the_headers():
    header = os.path.join(os.path.dirname(__file__),
                          "../../kmod/include/uapi/linux/symphony.h")
    with open(header) as file:
        names = [line.split()[0].removeprefix("SYMPHONY_LIMIT_").lower() for line in file
                 if line.startswith("\tSYMPHONY_LIMIT_")]
    assert names == ["none", *errors.LIMITS[1:]]
