# SPDX-License-Identifier: MIT
"""An extension of large bodies: says what came, or sends it back."""

import pathlib
import resource
import sys

import symphony_ipc

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from address import mapping_of

ext = symphony_ipc.Extension("large", version="1", summary="for tests", pool_size=8 << 20)


@ext.message
def look(message):
    if not isinstance(message, memoryview):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if message[0]:
        return message
    where = mapping_of(message) if message[1] == 0 else None
    return {"sum": sum(message[::4096]), "len": len(message), "where": where}


ext.run()
