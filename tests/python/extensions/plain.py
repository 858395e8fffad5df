# SPDX-License-Identifier: MIT
"""An extension of plain functions."""

import os
import time

import symphony_ipc

ext = symphony_ipc.Extension("plain", version="1.2", summary="for tests")


@ext.method
def say(text: str, times: int = 1) -> str:
    """Repeats a text."""
    return text * times


@ext.method
def who():
    request = symphony_ipc.current_request()
    return {"pid": request.pid, "uid": request.uid, "sender": request.sender,
            "extension_id": request.extension_id, "key": request.key,
            "deadline": request.deadline, "mine": os.getpid()}


@ext.method
def nap(seconds):
    time.sleep(seconds)
    return "rested"


@ext.method
def fail(kind="own"):
    if kind == "own":
        raise symphony_ipc.ExtensionError("no more coffee", 418, {"cups": 0})
    if kind == "os":
        raise FileNotFoundError(2, "not there", "x")
    if kind == "type":
        raise TypeError("inside")
    return object()


@ext.method
def die():
    os._exit(9)


@ext.method
def stop():
    ext.stop()
    return "stopping"


@ext.message
def other(message):
    return message


ext.run()
print("ended cleanly", flush=True)
