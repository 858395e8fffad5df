# SPDX-License-Identifier: MIT
"""Calls between an application and its extensions.

The Conductor's side is IPCBus, an extension's side is Extension.
"""

from . import errors
from .bus import IPCBus, Remote
from .errors import (
    BusError,
    Busy,
    Cancelled,
    Closed,
    Dead,
    ExtensionError,
    NoReplica,
    NotAvailable,
    NotPermitted,
    Timeout,
    TooLarge,
    UnknownExtension,
)
from .extension import Extension, current_request

__all__ = [
    "BusError",
    "Busy",
    "Cancelled",
    "Closed",
    "Dead",
    "Extension",
    "ExtensionError",
    "IPCBus",
    "NoReplica",
    "NotAvailable",
    "NotPermitted",
    "Remote",
    "Timeout",
    "TooLarge",
    "UnknownExtension",
    "current_request",
    "errors",
]
