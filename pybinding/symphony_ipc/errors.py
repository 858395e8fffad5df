# SPDX-License-Identifier: MIT
"""What can go wrong with a call, one class per cause."""

import errno as _errno
import os as _os


class BusError(Exception):
    """A call, or the bus itself, failed.

    errno         the cause, as in the errno module
    extension_id  the extension that was called, or None
    call_id       the kernel's id of the call, 0 when there was none
    limit         the limit that was reached, one of LIMITS, or None
    retry_safe    True: no extension received the call, so that calling again
                  cannot do its work twice; False where that is not known
    code          the extension's error code (an ExtensionError), else None
    data          the extension's error data (an ExtensionError), else None
    """

    errno = None
    extension_id = None
    call_id = 0
    limit = None
    retry_safe = False
    code = None
    data = None

    def __init__(self, message="", *, errno=None, extension_id=None, call_id=0,
                 code=None, data=None):
        super().__init__(message)
        if errno is not None:
            self.errno = errno
        self.extension_id = extension_id
        self.call_id = call_id
        self.code = code
        self.data = data

    def __str__(self):
        return str(self.args[0]) if self.args else ""

    def __reduce__(self):
        return (_rebuild, (type(self), self.args, self.errno, self.__dict__.copy()))


class NotAvailable(BusError):
    """There is no /dev/symphony, so only the Pit can be called."""

    errno = _errno.ENODEV


class NoReplica(BusError):
    """No process serves the extension now."""

    errno = _errno.ECONNREFUSED


class UnknownExtension(NoReplica):
    """No process ever served an extension of this id on this bus."""

    errno = _errno.ENOENT


class Dead(BusError):
    """The process that the call was sent to died before it answered.

    It may have done the work, unless `retry_safe` says that it had not received
    the call (then errno is ECONNABORTED).
    """

    errno = _errno.ECONNRESET


class Timeout(BusError, TimeoutError):
    """The deadline passed before there was an answer.

    The extension may have done the work, or still do it, unless `retry_safe` says
    that it did not receive the call (then errno is ETIME).
    """


class Cancelled(BusError):
    """The call was given up on this side, or by the caller that it was made for."""

    errno = _errno.ECANCELED


class TooLarge(BusError):
    """The message or the answer does not fit.

    needed  the reply_max that would have held the answer, 0 when it was the
            message that was too large
    """

    errno = _errno.EMSGSIZE
    needed = 0


class Busy(BusError):
    """A limit was reached, which `limit` names: wait, or ask for less."""

    errno = _errno.EDQUOT


class NotPermitted(BusError):
    """The bus or the id belongs to another user, or claiming the id needs a grant.

    Or the bus was opened before a fork, by the parent of this process.
    """

    errno = _errno.EACCES


class Closed(BusError):
    """The bus was closed."""

    errno = _errno.ESHUTDOWN


class ExtensionError(BusError):
    """The extension answered with an error: code, message and data are its own.

    A handler of an Extension raises it to answer so.
    """

    errno = _errno.EREMOTEIO

    def __init__(self, message="", code=1, data=None, *, errno=None,
                 extension_id=None, call_id=0):
        super().__init__(message, errno=errno, extension_id=extension_id,
                         call_id=call_id, code=code, data=data)


_CLASSES = {
    _errno.ENODEV: NotAvailable,
    _errno.ECONNREFUSED: NoReplica,
    _errno.ENOENT: UnknownExtension,
    _errno.ECONNRESET: Dead,
    _errno.ECONNABORTED: Dead,
    _errno.ETIMEDOUT: Timeout,
    _errno.ETIME: Timeout,
    _errno.ECANCELED: Cancelled,
    _errno.EMSGSIZE: TooLarge,
    _errno.EDQUOT: Busy,
    _errno.ENOBUFS: Busy,
    _errno.EAGAIN: Busy,
    _errno.EACCES: NotPermitted,
    _errno.EPERM: NotPermitted,
    _errno.ESHUTDOWN: Closed,
    _errno.EREMOTEIO: ExtensionError,
}

# By the number of enum symphony_limit.
LIMITS = (None, "pool", "calls", "queue", "share", "user_share", "room", "body", "reply",
          "services", "user_buses", "user_endpoints", "user_pool", "user_calls",
          "user_services", "user_files", "user_claims", "user_records")

# JSON-RPC's numbers, as in <symphony/bus.h>.
PARSE = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603


def _rebuild(cls, args, errno, attributes):
    error = cls.__new__(cls, *args)
    error.args = args
    error.errno = errno
    error.__dict__.update(attributes)
    return error


def from_errno(errno, message, extension_id, call_id, code, data, needed, limit,
               retry_safe=False):
    """The exception for a failure that libsymphony reported."""
    cls = _CLASSES.get(errno, BusError)
    if errno == _errno.ENODEV and "modprobe" not in message:
        message += " (load the module: modprobe symphony)"
    error = cls(message or _os.strerror(errno), errno=errno,
                extension_id=extension_id or None, call_id=call_id)
    if retry_safe:
        error.retry_safe = True
    if limit < len(LIMITS):
        error.limit = LIMITS[limit]
    if cls is ExtensionError:
        error.code = code
        error.data = data
    elif cls is TooLarge:
        error.needed = needed
    return error


def describe_failure(error):
    """(code, message, data) of the error reply for what a handler raised."""
    kind = type(error).__name__
    problems = []
    try:
        text = str(error)
    except Exception as problem:
        text = ""
        problems.append(f"its text ({type(problem).__name__})")
    if isinstance(error, ExtensionError):
        code, data = error.code, error.data
        text = text or (kind if problems else "")
    else:
        known = isinstance(error, (BusError, OSError)) and error.errno
        code, data = error.errno if known else INTERNAL, {"type": kind}
        text = f"{kind}: {text}" if text else kind
    if not isinstance(code, int) or not -1 << 63 <= code < 1 << 63:
        problems.append("its code (no integer of 64 bits)")
        code = INTERNAL
    try:
        _check_message(data)
    except (TypeError, ValueError) as problem:
        problems.append(f"its data ({problem})")
        data = None
    if problems:
        _log().error("an error of a handler is answered without %s", " and ".join(problems),
                     exc_info=error)
    # UTF-8 cannot have half of a character, and C's text no NUL.
    text = text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return (code, text, data)


def _check_message(value):
    from . import _symphony

    _symphony.check_message(value)


def _log():
    import logging

    return logging.getLogger("symphony_ipc")
