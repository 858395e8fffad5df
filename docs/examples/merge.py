# SPDX-License-Identifier: MIT
"""merge: several counts made one."""

import collections

import symphony_ipc

ext = symphony_ipc.Extension("merge", version="1", summary="several counts made one")


@ext.method
def counts(parts: list[dict[str, int]]) -> dict[str, int]:
    """The sum, word by word."""
    total = collections.Counter()
    for part in parts:
        total.update(part)
    return dict(total)


ext.main()
