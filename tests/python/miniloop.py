# SPDX-License-Identifier: MIT
"""An event loop that is none of asyncio's: what a bus needs, and what tasks do."""

import asyncio
import heapq
import itertools
import select
import time


class MiniLoop(asyncio.AbstractEventLoop):
    """Counts its turns, and what its readers were called for."""

    def __init__(self):
        self.ready, self.timers, self.readers = [], [], {}
        self.numbers = itertools.count()
        self.poll = select.poll()
        self.turns = self.readable = 0
        self.running = self.closed = False
        self.told = []

    def time(self):
        return time.monotonic()

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self.timers, (when, next(self.numbers), handle))
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle):
        pass

    def add_reader(self, fd, callback, *args):
        self.readers[fd] = asyncio.Handle(callback, args, self, None)
        self.poll.register(fd, select.POLLIN)

    def remove_reader(self, fd):
        if self.readers.pop(fd, None):
            self.poll.unregister(fd)

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context):
        self.told.append(context)

    def get_debug(self):
        return False

    def is_running(self):
        return self.running

    def is_closed(self):
        return self.closed

    def close(self):
        self.closed = True

    def turn(self):
        self.turns += 1
        wait = None
        if self.ready:
            wait = 0
        elif self.timers:
            wait = max(0, self.timers[0][0] - self.time()) * 1000
        for fd, _ in self.poll.poll(wait):
            self.readable += 1
            self.ready.append(self.readers[fd])
        while self.timers and self.timers[0][0] <= self.time():
            self.ready.append(heapq.heappop(self.timers)[2])
        ready, self.ready = self.ready, []
        for handle in ready:
            if not handle.cancelled():
                handle._run()

    def run_until_complete(self, coro):
        asyncio._set_running_loop(self)
        self.running = True
        try:
            task = self.create_task(coro)
            while not task.done():
                self.turn()
            return task.result()
        finally:
            self.running = False
            asyncio._set_running_loop(None)
