# SPDX-License-Identifier: MIT
"""An extension of plain and async functions, that also calls another one."""

import asyncio

import symphony_ipc

ext = symphony_ipc.Extension("mixed")
barrier = []


@ext.method
async def say(text):
    await asyncio.sleep(0)
    return text


@ext.method
def say_now(text):
    return text


@ext.method
async def together(count):
    """Answers once so many wait."""
    mine = asyncio.get_running_loop().create_future()
    barrier.append(mine)
    if len(barrier) == count:
        for future in barrier:
            future.set_result(count)
        barrier.clear()
    return await mine


@ext.method
async def who():
    await asyncio.sleep(0.01)
    return symphony_ipc.current_request().sender


@ext.method
async def ask(extension_id, message):
    return await ext.bus.send_message(extension_id, message)


@ext.method
async def fail():
    await asyncio.sleep(0)
    raise symphony_ipc.ExtensionError("later failure", 5)


ext.run()
print("ended cleanly", flush=True)
