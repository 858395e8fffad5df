# SPDX-License-Identifier: MIT
"""BPF programs that decide about calls: which replica has one, or who may make it."""

import os

from . import _router

POLICIES = tuple(_router.POLICIES)


class Router(_router.Router):
    """What bus.route() attached, or open_router() found.

    bus, service   what it is for; service is None for the whole bus
    policy         the name of the policy that is attached now

    It works until it is detached, or nothing refers to it and it is not pinned.
    In a with statement it is detached at the end.
    """

    def replace(self, policy, **options):
        """Another policy in place of this one, between two calls."""
        super().replace(policy, text_of(options))

    def set(self, **options):
        """Change options of the policy, from the next call on."""
        super().set(text_of(options))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.detach()

    def __repr__(self):
        return f"<symphony_ipc.Router of {self.service or 'all'} on bus {self.bus}>"


def text_of(options):
    """percent=5, allow=["0::a", "0::b"] as "percent=5,allow=0::a,allow=0::b"."""
    return ",".join(f"{name}={value}" for name, values in options.items()
                    for value in (values if isinstance(values, (list, tuple)) else [values]))


def attach(bus, service, policy, options):
    return Router(bus, service, policy, text_of(options))


def open_router(path):
    """The router that was pinned at `path`, by whichever process."""
    return Router(path=os.fspath(path))
