# SPDX-License-Identifier: MIT
"""Errors that JSON cannot say."""

import asyncio

import symphony_ipc

ext = symphony_ipc.Extension("odd")


@ext.method
def odd():
    raise symphony_ipc.ExtensionError("a\0b", 5, {1, 2})


@ext.method
async def odd_later():
    await asyncio.sleep(0)
    raise symphony_ipc.ExtensionError("a\0b", 5, object())


ext.main()
