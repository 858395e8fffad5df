# SPDX-License-Identifier: MIT
"""The other side: a process that is an extension, written in Python."""

import contextlib
import functools
import os
import signal
import threading

from . import _symphony, errors

RECOVERIES = ("fail", "requeue", "reissue")

_CO_COROUTINE = 0x80

# The signals that stop run(), with the handlers that it replaces.
_STOPPING = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}

# Those that a run() of this process has taken: number: by an event loop?
_taken = {}


_forking = threading.local()


def _before_fork():
    """None may come to the child before it has them back."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _taken)


def _after_fork():
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork_in_child():
    """There the signals would stop nothing, or the parent's loop."""
    if any(_taken.values()):
        signal.set_wakeup_fd(-1)
    for number in _taken:
        signal.signal(number, _STOPPING[number])
    _taken.clear()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork,
                    after_in_child=_after_fork_in_child)


def _is_async(function):
    """inspect.iscoroutinefunction(), without importing inspect to serve."""
    while hasattr(function, "func"):
        function = function.func
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
    return bool(code and code.co_flags & _CO_COROUTINE)


def _failed(error):
    """Logs what a handler raised, and says whether to answer with it.

    A call that failed with the request that it was made for is no news to anybody.
    """
    if isinstance(error, (errors.Cancelled, errors.Timeout)) and _symphony.cancelled():
        return False
    if not isinstance(error, errors.ExtensionError):
        import logging

        logging.getLogger("symphony_ipc").error("a handler failed", exc_info=error)
    return True


class Extension:
    """An extension of the given id.

        ext = Extension("echo")

        @ext.method
        def say(text: str) -> str:
            return text

        ext.run()

    A method gets params as keyword arguments and its answer is the result;
    what it raises is an error reply, an ExtensionError with its own code and
    data. Methods can be async; these are cancelled when nobody waits for their
    answer any more, while plain ones can ask cancelled(). The docstring and the
    annotations make up what the reserved method "describe" tells.

    recovery  what becomes of the calls that a replica has when it dies: "fail",
              "requeue" (those it had not received go to another one), "reissue"
              (and those it had, if they are idempotent); all replicas say the same
    takeover  serve instead of those who do now, which finish what they have: their
              run() returns
    grant     a descriptor of IPCBus.grant(), where claiming the id needs one;
              default: $SYMPHONY_GRANT
    bus       its name; default: $SYMPHONY_BUS, or else "symphony-UID"
    owner     uid of the user whose bus it is, or "any"; default: this process's own, or,
              of $SYMPHONY_BUS, $SYMPHONY_BUS_OWNER
    """

    def __init__(self, extension_id, *, version="", summary=None, bus=None, pool_size=0,
                 recovery="fail", takeover=False, grant=None, owner=None):
        self.id = _symphony.check_name(extension_id, "an extension id")
        self.version = _text(version, "version")
        self.summary = None if summary is None else _text(summary, "summary")
        self._bus_name = None if bus is None else _symphony.check_name(bus, "bus")
        _check_options(recovery, grant)
        self._options = {"pool_size": pool_size, "recovery": recovery,
                         "takeover": takeover, "grant": grant, "owner": owner}
        self._methods = {"describe": self.describe}
        self._message = None
        self._server = None
        self._stop = None
        self._client = None
        self._shared = ()

    # --- declaring

    def method(self, function=None, *, name=None):
        """Decorator: the function answers {"method": its name, "params": {...}}."""
        if name is not None:
            name = _text(name, "the name of a method")
        if function is None:
            return lambda function: self.method(function, name=name)
        if not callable(function):
            raise TypeError(f"a method is a function, not {function!r}; for another name: "
                            "@ext.method(name=...)")
        name = name or function.__name__
        if name in self._methods:
            raise ValueError(f"'{self.id}' has a method '{name}' already")
        self._methods[name] = function
        return function

    def message(self, function):
        """Decorator: the function answers every message that names no method."""
        if self._message is not None:
            raise ValueError(f"'{self.id}' has a handler of whole messages already")
        self._message = function
        return function

    def describe(self):
        """what this extension is, and its methods"""
        from .schema import describe_method

        about = {"id": self.id, "version": self.version, "summary": self.summary,
                 "messages": self._message is not None}
        own = [name for name in self._methods if name != "describe"]
        about["methods"] = [describe_method(name, self._methods[name])
                            for name in [*own, "describe"]]
        return {key: value for key, value in about.items() if value is not None}

    # --- calling others

    @property
    def bus(self):
        """An IPCBus, without a Pit, to call other extensions with.

        A call made in a handler is made for the request that it handles: the earlier
        deadline counts, and it ends when nobody waits for the request any more;
        detached=True makes it for nothing. In an extension of plain functions that
        is so for call(); what send_message() does there is always detached.
        """
        if self._client is None or self._client.closed:
            from .bus import IPCBus

            self._client = IPCBus(self._bus_name, pit=False, owner=self._options["owner"])
            if self._server is not None and not self._server.inherited:
                self._client._share(self._server, *self._shared)
        return self._client

    # --- serving

    def run(self, *, recovery=None, takeover=None, grant=None):
        """Join the bus, claim the id and serve, until stop(), SIGTERM, SIGINT or a takeover.

        What is given here goes before what the constructor got.
        """
        self._set(recovery, takeover, grant)
        handlers = [*self._methods.values(), self._message]
        if any(_is_async(handler) for handler in handlers if handler):
            import asyncio

            # Found before asyncio takes SIGINT for itself.
            asyncio.run(self._serve(_signals()))
            return
        self._server = self._open()
        signals = _signals()
        try:
            self._share()
            _taken.update(dict.fromkeys(signals, False))
            self._server.serve(*signals)
        finally:
            for number in signals:
                _taken.pop(number, None)
            self._close()

    def main(self, argv=None):
        """run(), as the command line says: the options are those of an extension in C.

        --help lists them. An argument that is none of them ends the program with status
        2, a failure with its text and status 1.
        """
        import argparse
        import sys

        parser = argparse.ArgumentParser(
            description=self.summary or f"The extension '{self.id}'.", allow_abbrev=False)
        parser.add_argument("--bus", type=_name,
                            help="the bus to join ($SYMPHONY_BUS, or else symphony-UID)")
        parser.add_argument("--owner", type=_owner, metavar="UID",
                            help="whose bus it is, if it is another user's; or 'any'")
        parser.add_argument("--id", type=_name, help=f"the id to serve ({self.id})")
        parser.add_argument("--takeover", action="store_true", default=None,
                            help="serve instead of those who do; they finish what they have")
        parser.add_argument("--recovery", choices=RECOVERIES,
                            help="what becomes of the calls of a replica that dies")
        parser.add_argument("--grant", type=int, metavar="FD",
                            help="descriptor that allows to claim the id ($SYMPHONY_GRANT)")
        parser.add_argument("--describe", action="store_true",
                            help="print what the extension is and its methods, and exit")
        options = parser.parse_args(argv)
        self.id = options.id or self.id
        self._bus_name = options.bus or self._bus_name
        self._options["owner"] = options.owner or self._options["owner"]
        if options.describe:
            import json

            print(json.dumps(self.describe(), indent=2))
            return
        try:
            self.run(recovery=options.recovery, takeover=options.takeover, grant=options.grant)
        except errors.BusError as error:
            sys.exit(f"{parser.prog}: {error}")

    async def serve(self, *, recovery=None, takeover=None, grant=None):
        """Serve on the running event loop, until stop(), cancellation or a takeover."""
        self._set(recovery, takeover, grant)
        await self._serve(())

    def drain(self):
        """Get no new requests, until resume(); other replicas get them."""
        self._served().drain(False)

    def resume(self):
        """Get requests again."""
        self._served().drain(True)

    def stop(self):
        """Make run() return after what is being served, and what is queued here.

        From any thread. A second stop() cancels the async handlers that still run.
        """
        server, stop = self._server, self._stop
        if server is None or server.inherited:
            return
        if stop is None:
            server.stop()
        else:
            # The loop is closed: it has stopped.
            with contextlib.suppress(RuntimeError):
                stop()

    async def _serve(self, signals):
        import asyncio

        loop = asyncio.get_running_loop()
        self._server = server = self._open()
        descriptor = server.fileno()
        stop = asyncio.Event()
        asked = False
        ended = []
        caught = []

        def on_stop():
            nonlocal asked
            if asked:
                for task in server.tasks():
                    task.cancel()
            asked = True
            stop.set()

        def on_signal(number):
            """The second one of a kind has its default effect."""
            give_back(number)
            on_stop()

        def give_back(number):
            caught.remove(number)
            loop.remove_signal_handler(number)
            _taken.pop(number, None)

        self._stop = functools.partial(loop.call_soon_threadsafe, on_stop)

        def process():
            """How many requests there were."""
            try:
                number = server.process(loop, ended)
            except errors.BusError:
                stop.set()
                raise
            if server.taken_over:
                stop.set()
            if self._client is not None:
                self._client._on_processed()
            return number

        try:
            self._share(process, ended)
            for number in signals:
                loop.add_signal_handler(number, on_signal, number)
                caught.append(number)
                _taken[number] = True
            loop.add_reader(descriptor, process)
            await stop.wait()
            server.unclaim()
            while process() or server.tasks():
                if tasks := server.tasks():
                    await asyncio.wait(tasks)
        finally:
            self._stop = None
            try:
                if tasks := server.tasks():
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
            finally:
                # The loop of a child that was forked has the parent's epoll.
                if not server.inherited:
                    loop.remove_reader(descriptor)
                    for number in list(caught):
                        give_back(number)
                self._close()

    def _set(self, recovery, takeover, grant):
        _check_options(recovery, grant)
        options = {"recovery": recovery, "takeover": takeover, "grant": grant}
        self._options |= {name: value for name, value in options.items() if value is not None}

    def _served(self):
        if self._server is None:
            raise RuntimeError(f"'{self.id}' is not served now")
        return self._server

    def _open(self):
        if self._server is not None and self._server.inherited:
            self._server = self._stop = self._client = None
        if self._server is not None:
            raise RuntimeError(f"'{self.id}' is served already")
        # Not for what the extension starts.
        grant = os.environ.pop("SYMPHONY_GRANT", None)
        options = dict(self._options)
        if options["grant"] is None:
            if grant is not None and not (grant.isascii() and grant.isdecimal()
                                          and len(grant) < 10):
                raise ValueError(f"SYMPHONY_GRANT is {grant!r}: expected a descriptor")
            options["grant"] = None if grant is None else int(grant)
        return _symphony.Server(self.id, self._methods, self._message, _failed,
                                bus=self._bus_name, **options)

    def _share(self, *shared):
        """Has our calls go through the connection that serves."""
        self._shared = shared
        if self._client is not None:
            self._client._share(self._server, *shared)

    def _close(self):
        server, self._server = self._server, None
        self._shared = ()
        server.close()
        if self._client is not None:
            self._client.close()
            self._client = None


def _name(text):
    return _symphony.check_name(text, "a name")


def _owner(text):
    if text != "any" and not (text.isascii() and text.isdecimal() and int(text) < 2**32 - 1):
        raise ValueError(text)
    return text


def _text(value, what):
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__}")
    return value


def _check_options(recovery, grant):
    """What would otherwise be said only when the id is claimed, or not at all."""
    if recovery is not None and recovery not in RECOVERIES:
        raise ValueError(f"recovery is 'fail', 'requeue' or 'reissue', not {recovery!r}")
    if grant is not None and (not isinstance(grant, int) or grant < 0):
        raise ValueError(f"grant is a descriptor that IPCBus.grant() made, not {grant!r}")


def _signals():
    """Those that stop run(): where nobody else has taken them."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    return tuple(int(number) for number, handler in _STOPPING.items()
                 if signal.getsignal(number) is handler)
