# SPDX-License-Identifier: MIT
"""The Conductor of the discussion that led here runs as it was written."""

import asyncio
import importlib
import sys

import pytest

import symphony_ipc
from conftest import HERE


@pytest.fixture(params=["seed_conductor", "seed_conductor_final"])
def conductor(request, bus_name, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    conductor = importlib.import_module(request.param).Conductor()
    yield conductor
    conductor.ipc_bus.close()


async def begin(conductor):
    if hasattr(conductor, "start"):
        await conductor.start()


def test_gets_answers_from_pool_manager(conductor):
    async def main():
        await begin(conductor)
        return await conductor.call_extension("pool_manager", {"method": "describe"})

    answer = asyncio.run(main())
    assert answer["id"] == "pool_manager"
    assert "acquire" in [method["name"] for method in answer["methods"]]


def test_gets_error_replies_as_exceptions(conductor):
    async def main():
        await begin(conductor)
        await conductor.call_extension("pool_manager", {"method": "no_such_method"})

    with pytest.raises(symphony_ipc.ExtensionError) as caught:
        asyncio.run(main())
    assert caught.value.code == symphony_ipc.errors.METHOD_NOT_FOUND
    assert caught.value.extension_id == "pool_manager"


@pytest.mark.device
def test_gets_answers_from_another_process(conductor, processes, bus_name):
    with symphony_ipc.IPCBus(pit=False) as probe:
        processes.start("plain.py", ready="plain", bus=probe)

    async def main():
        await begin(conductor)
        return await conductor.call_extension(
            "plain", {"method": "say", "params": {"text": "ab", "times": 2}})

    assert asyncio.run(main()) == "abab"
