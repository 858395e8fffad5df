# SPDX-License-Identifier: MIT
"""roundtrip.py WHAT: what a call from Python costs. WHAT is pit, pit-echo, remote,
remote-async, remote-call, remote-bytes, flight, flight-async, asyncio or asyncio-flight.

pit: send_message to a member of the Pit, that answers with a number. remote: send_message to an extension in
a Python process of its own. asyncio: the peer, a unix stream socket with a line of
JSON each way. The message and the work are the same: three parameters come back, as
they do for pit-echo.

With "async" the extension's method is. Two leave a part out: remote-call does without
an event loop, and remote-bytes without JSON too, by as many bytes.

One at a time; with "flight" 1,000 tasks do so at once, each making its next call when
the last is answered.
"""

import asyncio
import collections
import errno
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

WARMUP, ROUNDS = 200, 2000
IN_FLIGHT, LAPS = 1000, 10
BUS = "bench"
MEMBER = os.path.join(os.environ.get("O", "."), "bench", "member.so")


def message(method, number):
    return {"method": method, "params": {"index": number, "name": "worker", "ready": True}}


def text(number):
    return b'{"method":"echo","params":{"index":%d,"name":"worker","ready":true}}' % number


class Clock:
    """What is measured lies between begin() and end(), for the profile too; a few times
    over. The figure is the median, as in bench.c: the kernel has housekeeping to do."""

    TIMES = 3

    def __init__(self):
        self.marks, self.passed = None, []
        if "profile" in os.environ:
            import ctypes

            self.marks = ctypes.PyDLL(MEMBER)

    def begin(self):
        gc.collect()
        gc.disable()
        if self.marks:
            self.marks.bench_begin()
        self.begun = time.monotonic_ns()

    def end(self):
        self.passed.append(time.monotonic_ns() - self.begun)
        if self.marks:
            self.marks.bench_end()

    def tell(self, name, rounds):
        print(name, "-", (statistics.median(self.passed) + rounds // 2) // rounds, flush=True)


def judge(name, answers, check):
    """check(number, answer) says whether an answer is right: that is not measured."""
    for number, answer in enumerate(answers):
        if not check(number, answer):
            sys.exit(f"{name}: round {number}: {answer!r}")


async def measure(name, call, check):
    """Time call(number)."""
    clock = Clock()
    answers = [await call(number) for number in range(WARMUP)]
    for _ in range(Clock.TIMES):
        clock.begin()
        for number in range(len(answers), len(answers) + ROUNDS):
            answers.append(await call(number))
        clock.end()
    clock.tell(name, ROUNDS)
    judge(name, answers, check)


async def measure_blocking(name, call, check):
    """The same of a call that is not awaited."""
    clock = Clock()
    answers = [call(number) for number in range(WARMUP)]
    for _ in range(Clock.TIMES):
        clock.begin()
        for number in range(len(answers), len(answers) + ROUNDS):
            answers.append(call(number))
        clock.end()
    clock.tell(name, ROUNDS)
    judge(name, answers, check)


async def measure_flight(name, call, check):
    """The same of as many tasks as there are to be calls in flight."""

    async def work(number, laps):
        for _ in range(laps):
            answer = await call(number)
        return answer

    async def fly(laps):
        return await asyncio.gather(*[work(number, laps) for number in range(IN_FLIGHT)])

    clock = Clock()
    judge(name, await fly(1), check)
    for _ in range(Clock.TIMES):
        clock.begin()
        answers = await fly(LAPS)
        clock.end()
        judge(name, answers, check)
    clock.tell(name, IN_FLIGHT * LAPS)


def same(number, answer):
    return answer == message("echo", number)["params"]


def same_text(number, answer):
    return answer == text(number)


# ask(bus, extension): call(number), with the message made for it.


def counting(bus, extension):
    return lambda number: bus.send_message(
        extension, {"method": "count", "params": {"index": number, "name": "worker", "ready": True}})


def sending(bus, extension):
    return lambda number: bus.send_message(
        extension, {"method": "echo", "params": {"index": number, "name": "worker", "ready": True}})


def calling(bus, extension):
    return lambda number: bus.call(
        extension, {"method": "echo", "params": {"index": number, "name": "worker", "ready": True}})


def calling_with_bytes(bus, extension):
    return lambda number: bus.call(extension, text(number))


async def symphony(name, extension, ask, check, measure=measure):
    import symphony_ipc

    async with symphony_ipc.IPCBus(BUS, plugins=[MEMBER]) as bus:
        while extension not in bus.pit:
            try:
                await bus.send_message(extension, message("echo", 0))
                break
            except symphony_ipc.BusError as error:
                if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                    raise
            await asyncio.sleep(0.01)
        await measure(name, ask(bus, extension), check)


async def pit():
    await symphony("python-pit", "member", counting, lambda number, answer: answer == number)


async def pit_echo():
    await symphony("python-pit-echo", "member", sending, same)


async def remote(name, kind, ask=sending, check=same, measure=measure):
    server = subprocess.Popen([sys.executable, __file__, "serve-remote", kind])
    await symphony(name, "echo", ask, check, measure)
    server.kill()
    server.wait()


def serve_remote(kind):
    import symphony_ipc

    extension = symphony_ipc.Extension("echo", bus=BUS)

    def echo(**params):
        return params

    async def async_echo(**params):
        return params

    extension.method(async_echo if kind == "async" else echo, name="echo")
    extension.message(lambda message: message)
    gc.disable()
    extension.run()


async def peer(name, client, measure=measure):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = subprocess.Popen([sys.executable, __file__, "serve-asyncio", path],
                                  stdout=subprocess.PIPE)
        server.stdout.readline()
        await measure(name, await client(path), same)
        server.kill()
        server.wait()


async def one_at_a_time(path):
    reader, writer = await asyncio.open_unix_connection(path)

    async def call(number):
        writer.write(json.dumps(message("echo", number)).encode() + b"\n")
        return json.loads(await reader.readline())

    return call


async def many(path):
    """Answers come in the order of the calls."""
    reader, writer = await asyncio.open_unix_connection(path)
    waiting, loop = collections.deque(), asyncio.get_running_loop()

    async def read():
        while line := await reader.readline():
            waiting.popleft().set_result(json.loads(line))

    task = loop.create_task(read())

    async def call(number, task=task):
        future = loop.create_future()
        waiting.append(future)
        writer.write(json.dumps(message("echo", number)).encode() + b"\n")
        return await future

    return call


async def serve_asyncio(path):
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(json.dumps(json.loads(line)["params"]).encode() + b"\n")

    server = await asyncio.start_unix_server(serve, path)
    gc.disable()
    print("serving", flush=True)
    await server.serve_forever()


def main():
    match sys.argv[1:]:
        case ["pit"]:
            asyncio.run(pit())
        case ["pit-echo"]:
            asyncio.run(pit_echo())
        case ["remote"]:
            asyncio.run(remote("python-remote", "plain"))
        case ["remote-async"]:
            asyncio.run(remote("python-remote-async", "async"))
        case ["remote-call"]:
            asyncio.run(remote("python-remote-call", "plain", calling, same, measure_blocking))
        case ["remote-bytes"]:
            asyncio.run(remote("python-remote-bytes", "plain", calling_with_bytes, same_text,
                               measure_blocking))
        case ["flight"]:
            asyncio.run(remote("python-flight", "plain", measure=measure_flight))
        case ["flight-async"]:
            asyncio.run(remote("python-flight-async", "async", measure=measure_flight))
        case ["asyncio"]:
            asyncio.run(peer("python-asyncio", one_at_a_time))
        case ["asyncio-flight"]:
            asyncio.run(peer("python-asyncio-flight", many, measure_flight))
        case ["serve-remote", kind]:
            serve_remote(kind)
        case ["serve-asyncio", path]:
            asyncio.run(serve_asyncio(path))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
