# SPDX-License-Identifier: MIT
"""The other side: a process that is an extension, written in Python."""

import contextvars
import signal
import threading

from . import _symphony, errors

_current = contextvars.ContextVar("symphony_ipc.current_request", default=None)
_CO_COROUTINE = 0x80


def current_request():
    """The request being served: who asks (pid, uid, sender), by when; or None."""
    return _symphony.serving() or _current.get()


def _is_async(function):
    """inspect.iscoroutinefunction(), without importing inspect to serve."""
    while hasattr(function, "func"):
        function = function.func
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
    return bool(code and code.co_flags & _CO_COROUTINE)


def _log_failure(error):
    if not isinstance(error, errors.ExtensionError):
        import logging

        logging.getLogger("symphony_ipc").error("a handler failed", exc_info=error)


class Extension:
    """An extension of the given id.

        ext = Extension("echo")

        @ext.method
        def say(text: str) -> str:
            return text

        ext.run()

    A method gets params as keyword arguments and its answer is the result;
    what it raises is an error reply, an ExtensionError with its own code and
    data. Methods can be async. The docstring and the annotations make up what
    the reserved method "describe" tells.
    """

    def __init__(self, extension_id, *, version="", summary=None, bus=None, pool_size=0):
        self.id = extension_id
        self.version = version
        self.summary = summary
        self._bus_name = bus
        self._pool_size = pool_size
        self._methods = {"describe": self.describe}
        self._message = None
        self._server = None
        self._stop = None
        self._client = None

    # --- declaring

    def method(self, function=None, *, name=None):
        """Decorator: the function answers {"method": its name, "params": {...}}."""
        if function is None:
            return lambda function: self.method(function, name=name)
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
        """An IPCBus, without a Pit, to call other extensions with."""
        if self._client is None:
            from .bus import IPCBus

            self._client = IPCBus(self._bus_name, pit=False)
        return self._client

    # --- serving

    def run(self):
        """Join the bus, claim the id and serve, until stop(), SIGTERM or SIGINT."""
        handlers = [*self._methods.values(), self._message]
        if any(_is_async(handler) for handler in handlers if handler):
            import asyncio

            # Found before asyncio takes SIGINT for itself.
            asyncio.run(self._serve(_signals()))
            return
        self._server = self._open()
        try:
            self._server.serve(*_signals())
        finally:
            self._close()

    async def serve(self):
        """Serve on the running event loop, until stop() or cancellation."""
        await self._serve(())

    def stop(self):
        """Make run() return after what is being served."""
        if self._stop is not None:
            self._stop.set()
        elif self._server is not None:
            self._server.stop()

    async def _serve(self, signals):
        import asyncio

        loop = asyncio.get_running_loop()
        self._server = server = self._open()
        self._stop = stop = asyncio.Event()
        tasks = set()
        caught = []

        def on_readable():
            try:
                requests = server.process()
            except errors.BusError:
                stop.set()
                raise
            for request in requests:
                self._start(request, loop, tasks)

        try:
            for number in signals:
                loop.add_signal_handler(number, stop.set)
                caught.append(number)
            loop.add_reader(server.fileno(), on_readable)
            await stop.wait()
            server.unclaim(self.id)
            if tasks:
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            loop.remove_reader(server.fileno())
            for number in caught:
                loop.remove_signal_handler(number)
            self._stop = None
            self._close()

    def _open(self):
        if self._server is not None:
            raise RuntimeError(f"'{self.id}' is served already")
        return _symphony.Server(self.id, self._methods, self._message, _log_failure,
                                bus=self._bus_name, pool_size=self._pool_size)

    def _close(self):
        server, self._server = self._server, None
        server.close()
        if self._client is not None:
            self._client.close()
            self._client = None

    # --- one request, on an event loop

    def _start(self, request, loop, tasks):
        token = _current.set(request)
        try:
            answer = self._handle(request)
            if answer is not None:
                task = loop.create_task(self._finish(request, answer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            _current.reset(token)

    def _handle(self, request):
        """Answers, or returns the coroutine that will have the answer."""
        try:
            message = request.read()
        except ValueError:
            request.fail(errors.PARSE, "the message cannot be read as JSON")
            return None
        name = message.get("method") if isinstance(message, dict) else None
        method = self._methods.get(name) if isinstance(name, str) else None
        try:
            if method is not None:
                params = message.get("params")
                if params is None:
                    params = {}
                if not isinstance(params, dict):
                    request.fail(errors.INVALID_PARAMS,
                                 "params is an object with a member for each parameter")
                    return None
                try:
                    value = method(**params)
                except TypeError as error:
                    if error.__traceback__.tb_next is not None:
                        raise
                    request.fail(errors.INVALID_PARAMS, str(error))
                    return None
            elif self._message is not None:
                value = self._message(message)
            elif isinstance(name, str):
                request.fail(errors.METHOD_NOT_FOUND,
                             f"'{self.id}' has no method '{name}'; \"describe\" lists them")
                return None
            else:
                request.fail(errors.INVALID_REQUEST,
                             f"'{self.id}' takes {{\"method\": NAME, \"params\": {{...}}}}")
                return None
            if hasattr(value, "__await__"):
                return value
            request.reply(value)
        except Exception as error:
            self._fail(request, error)
        return None

    async def _finish(self, request, answer):
        try:
            request.reply(await answer)
        except Exception as error:
            self._fail(request, error)

    @staticmethod
    def _fail(request, error):
        _log_failure(error)
        code, message, data = errors.describe_failure(error)
        try:
            request.fail(code, message, data)
        except (TypeError, ValueError):
            request.fail(code if isinstance(code, int) else errors.INTERNAL, message)


def _signals():
    """Those that stop run(): where nobody else has taken them."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    defaults = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    return tuple(int(number) for number, handler in defaults.items()
                 if signal.getsignal(number) is handler)
