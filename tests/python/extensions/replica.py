# SPDX-License-Identifier: MIT
"""replica.py plain|async ID VERSION [OPTION=VALUE]...: a replica with the options of run()."""

import asyncio
import json
import os
import sys
import time

import symphony_ipc

kind, own, version, *options = sys.argv[1:]
ext = symphony_ipc.Extension(own, version=version)
options = {name: json.loads(value) for name, _, value in (text.partition("=") for text in options)}


def told():
    return {"version": version, "pid": os.getpid()}


if kind == "plain":
    @ext.method
    def work(seconds=0):
        time.sleep(seconds)
        return told()
else:
    @ext.method
    async def work(seconds=0):
        await asyncio.sleep(seconds)
        return told()


@ext.method
def echo(value):
    return value


@ext.method
def drain():
    ext.drain()


@ext.method
def resume_soon(seconds):
    """What has no new requests cannot be asked to have them again."""
    import threading

    ext.drain()
    threading.Timer(seconds, ext.resume).start()


ext.run(**options)
