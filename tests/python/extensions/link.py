# SPDX-License-Identifier: MIT
"""link.py ID [NEXT]: an async link of a chain of calls; it counts what becomes of its work."""

import asyncio
import contextvars
import sys

import symphony_ipc

own, *following = sys.argv[1:]
ext = symphony_ipc.Extension(own)
counts = {"begun": 0, "done": 0, "cancelled": 0, "failed": None}


@ext.method
async def work(seconds):
    """The last link's work takes so long."""
    counts["begun"] += 1
    try:
        for link in following:
            await ext.bus[link].work(seconds=seconds)
        if not following:
            await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        counts["cancelled"] += 1
        raise
    counts["done"] += 1
    return counts["done"]


@ext.method
async def in_tasks(seconds):
    return await asyncio.gather(*[asyncio.create_task(work(seconds)) for _ in range(3)])


@ext.method
async def stubborn(seconds):
    """Neither this nor what it raises interests anybody."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        counts["cancelled"] += 1
        raise symphony_ipc.Cancelled("as a call in here would fail")


@ext.method
async def clean_up():
    """Once it is cancelled."""
    try:
        await asyncio.sleep(600)
    finally:
        try:
            await ext.bus[following[0]].work(seconds=0)
        except symphony_ipc.BusError as error:
            counts["failed"] = type(error).__name__
        await ext.bus[following[0]](detached=True).work(seconds=0)


@ext.method
async def again(times):
    """Calls itself."""
    return 1 + await ext.bus[own].again(times=times - 1) if times else 0


@ext.method
async def deadline(**options):
    """That of the last link's request, by time.monotonic()."""
    for link in following:
        return await ext.bus[link](**options).deadline()
    return symphony_ipc.current_request().deadline


@ext.method
async def deadline_elsewhere():
    """Of a call through a connection that does not serve this request."""
    with symphony_ipc.IPCBus(pit=False) as bus:
        return await bus[following[0]].deadline()


@ext.method
async def deadline_afterwards():
    """Of a call outside of the handlers."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    async def later():
        answer.set_result(await ext.bus[following[0]].deadline())

    loop.create_task(later(), context=contextvars.Context())
    return await answer


@ext.method
async def tally():
    return counts


ext.run()
