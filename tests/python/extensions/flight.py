# SPDX-License-Identifier: MIT
"""An extension of async functions, that says how many it works on and how many were cancelled."""

import asyncio

import symphony_ipc

ext = symphony_ipc.Extension("flight")
working = cancelled = 0


@ext.method
async def echo(**params):
    return params


@ext.method
async def nap(seconds):
    global working, cancelled

    working += 1
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled += 1
        raise
    finally:
        working -= 1
    return seconds


@ext.method
def state():
    return {"working": working, "cancelled": cancelled}


@ext.message
async def whole(message):
    """Of bytes: how they came, and as many back."""
    if isinstance(message, memoryview):
        return bytes(message[:1]) * len(message)
    return message


# asyncio's debug mode looks at every source file for every task.
asyncio.run(ext.serve(), debug=False)
