# SPDX-License-Identifier: MIT
"""An extension whose calls stay: it says how many there are, and how many were cancelled."""

import asyncio

import symphony_ipc

ext = symphony_ipc.Extension("held")
held = cancelled = 0


@ext.method
async def hold(seconds=60):
    global held, cancelled

    held += 1
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled += 1
        raise
    finally:
        held -= 1
    return "held"


@ext.method
async def say(text):
    return text


@ext.method
def state():
    return {"held": held, "cancelled": cancelled}


@ext.message
def bytes_of(message):
    """A body that arrives as a view of the receive pool."""
    return bytes(message) * 20000


ext.run()
