# SPDX-License-Identifier: MIT
"""Calls between an application and its extensions.

The Conductor's side is IPCBus, an extension's side is Extension.
"""

from . import errors
from ._symphony import cancelled, current_request
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
from .extension import Extension

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
    "cancelled",
    "current_request",
    "errors",
]
