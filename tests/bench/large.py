# SPDX-License-Identifier: MIT
"""large.py [WAY]: what a body of a MiB from Python to Python costs, and each side of it.

bus: IPCBus.call() with bytes; the extension gets a memoryview. socket: a unix stream with
a buffer of 4 MiB, sendall() and recv_into() a buffer that is there. asyncio: the same
socket, writer and readexactly(). A word comes back; who receives looks at each page.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

MIB = 1 << 20
ROUNDS = 20
WORD = b"12345678"


def look(body):
    assert len(body) == MIB
    return bytes(memoryview(body)[::4096])


# --- the receiver, in a process of its own

def serve_bus():
    import symphony_ipc

    ext = symphony_ipc.Extension("large", pool_size=16 * MIB)

    @ext.message
    def receive(message):
        look(message)
        return WORD

    ext.run()


def serve_socket(fd):
    with socket.socket(fileno=fd) as peer:
        body = memoryview(bytearray(MIB))
        while True:
            at = 0
            while at < MIB:
                at += peer.recv_into(body[at:])
            look(body)
            peer.sendall(WORD)


async def serve_asyncio(fd):
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd), limit=MIB)
    while True:
        look(await reader.readexactly(MIB))
        writer.write(WORD)


# --- the sender

def used(pid):
    """What a process has used of the processor, in ns: its clock's id, as Linux makes it."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def measure(way, process, call):
    for number in range(2 * ROUNDS):
        if number == ROUNDS:
            begun = time.monotonic_ns(), used(os.getpid()), used(process.pid)
        assert call() == WORD
    ended = time.monotonic_ns(), used(os.getpid()), used(process.pid)
    for what, then, now in zip(("oneway", "sender", "receiver"), begun, ended):
        print(f"python-large-{way}-{what} {MIB} {(now - then) // ROUNDS}", flush=True)
    process.send_signal(signal.SIGKILL)
    process.wait()


def start(way, *fds):
    return subprocess.Popen([sys.executable, __file__, "serve", way, *map(str, fds)], pass_fds=fds)


def send_by_bus():
    import symphony_ipc

    os.environ["SYMPHONY_BUS"] = "bench-large"
    with symphony_ipc.IPCBus(pit=False) as bus:
        body, process = bytes(MIB), start("bus")
        while True:
            try:
                bus.call("large", body, timeout=30)
                break
            except symphony_ipc.NoReplica:
                time.sleep(0.01)
        measure("bus", process, lambda: bytes(bus.call("large", body)))


def sockets():
    ours, theirs = socket.socketpair()
    # What only root may have.
    ours.setsockopt(socket.SOL_SOCKET, 32, 4 * MIB)
    return ours, theirs


def send_by_socket():
    ours, theirs = sockets()
    body = bytes(MIB)

    def call():
        ours.sendall(body)
        return ours.recv(len(WORD))

    measure("socket", start("socket", theirs.fileno()), call)


def send_by_asyncio():
    ours, theirs = sockets()
    body = bytes(MIB)
    loop = asyncio.new_event_loop()
    reader, writer = loop.run_until_complete(asyncio.open_unix_connection(sock=ours, limit=MIB))

    async def round_trip():
        writer.write(body)
        await writer.drain()
        return await reader.readexactly(len(WORD))

    measure("asyncio", start("asyncio", theirs.fileno()),
            lambda: loop.run_until_complete(round_trip()))


def main():
    if sys.argv[1:2] == ["serve"]:
        if sys.argv[2] == "bus":
            serve_bus()
        elif sys.argv[2] == "socket":
            serve_socket(int(sys.argv[3]))
        else:
            asyncio.run(serve_asyncio(int(sys.argv[3])))
    os.sched_setaffinity(0, {0})
    for send in send_by_bus, send_by_socket, send_by_asyncio:
        if sys.argv[1:] in ([], [send.__name__.removeprefix("send_by_")]):
            send()


main()
