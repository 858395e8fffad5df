# SPDX-License-Identifier: MIT
"""steps.py ID NEXT: plain functions that call, wait, and ask whether they still should."""

import asyncio
import contextvars
import sys
import threading
import time

import symphony_ipc

own, following = sys.argv[1:]
ext = symphony_ipc.Extension(own)
seen = {"given_up": 0, "failed": []}


@ext.method
def until_given_up():
    end = time.monotonic() + 60
    while not symphony_ipc.cancelled():
        if time.monotonic() > end:
            return "nobody gave it up"
        time.sleep(0.01)
    seen["given_up"] += symphony_ipc.current_request().cancelled()


@ext.method
def work(seconds):
    try:
        return ext.bus.call(following, {"method": "work", "params": {"seconds": seconds}})
    except symphony_ipc.BusError as error:
        seen["failed"].append(type(error).__name__)
        raise


def deadline_of_next(**options):
    return ext.bus.call(following, {"method": "deadline"}, **options)


@ext.method
def deadline(**options):
    return deadline_of_next(**options)


@ext.method
def deadline_in_thread():
    answers = []
    context = contextvars.copy_context()
    threads = [threading.Thread(target=lambda: answers.append(context.run(deadline_of_next))),
               threading.Thread(target=lambda: answers.append(deadline_of_next()))]
    for thread in threads:
        thread.start()
        thread.join()
    return answers


@ext.method
def deadline_awaited():
    async def ask():
        return await ext.bus.send_message(following, {"method": "deadline"})

    return asyncio.run(ask())


@ext.method
def tally():
    return seen


ext.run()
