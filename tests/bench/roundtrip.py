# SPDX-License-Identifier: MIT
"""roundtrip.py pit|remote|asyncio: what a call from Python costs, one at a time.

pit: send_message to a member of the Pit. remote: send_message to an extension in
a Python process of its own. asyncio: the peer, a unix stream socket with a line of
JSON each way. The message and the work are the same: three parameters come back.
"""

import asyncio
import errno
import gc
import json
import os
import subprocess
import sys
import tempfile
import time

WARMUP, ROUNDS = 200, 2000
BUS = "bench"


def message(method, number):
    return {"method": method, "params": {"index": number, "name": "worker", "ready": True}}


async def measure(name, call, check):
    """Time call(number); check(number, answer) says whether the answer is right."""
    gc.collect()
    gc.disable()
    for number in range(WARMUP + ROUNDS):
        if number == WARMUP:
            begun = time.monotonic_ns()
        answer = await call(number)
        if not check(number, answer):
            sys.exit(f"{name}: round {number}: {answer!r}")
    print(name, "-", (time.monotonic_ns() - begun + ROUNDS // 2) // ROUNDS, flush=True)


def same(number, answer):
    return answer == message("echo", number)["params"]


async def symphony(name, extension, method, check):
    import symphony_ipc

    member = os.path.join(os.environ["O"], "bench", "member.so")
    async with symphony_ipc.IPCBus(BUS, plugins=[member]) as bus:
        while extension not in bus.pit:
            try:
                await bus.send_message(extension, message("echo", 0))
                break
            except symphony_ipc.BusError as error:
                if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                    raise
            await asyncio.sleep(0.01)
        await measure(name, lambda number: bus.send_message(extension, message(method, number)),
                      check)


async def pit():
    await symphony("python-pit", "member", "count", lambda number, answer: answer == number)
    await symphony("python-pit-echo", "member", "echo", same)


async def remote():
    server = subprocess.Popen([sys.executable, __file__, "serve-remote"])
    await symphony("python-remote", "echo", "echo", same)
    server.kill()
    server.wait()


def serve_remote():
    import symphony_ipc

    extension = symphony_ipc.Extension("echo", bus=BUS)

    @extension.method
    def echo(**params):
        return params

    gc.disable()
    extension.run()


async def peer():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = subprocess.Popen([sys.executable, __file__, "serve-asyncio", path],
                                  stdout=subprocess.PIPE)
        server.stdout.readline()
        reader, writer = await asyncio.open_unix_connection(path)

        async def call(number):
            writer.write(json.dumps(message("echo", number)).encode() + b"\n")
            return json.loads(await reader.readline())

        await measure("python-asyncio", call, same)
        server.kill()
        server.wait()


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
        case ["remote"]:
            asyncio.run(remote())
        case ["asyncio"]:
            asyncio.run(peer())
        case ["serve-remote"]:
            serve_remote()
        case ["serve-asyncio", path]:
            asyncio.run(serve_asyncio(path))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
