# SPDX-License-Identifier: MIT
"""plain ROOT TYPES: what index.json computes, in one process and without a bus."""

import collections
import json
import os
import re
import sys

root, types = sys.argv[1], tuple(sys.argv[2].split())
counts = collections.Counter()
for folder, folders, names in os.walk(root):
    folders[:] = [name for name in folders if not name.startswith(".") and name != "build"]
    for name in names:
        if os.path.splitext(name)[1] in types:
            with open(os.path.join(folder, name), "rb") as file:
                counts.update(re.findall(rb"[A-Za-z_][A-Za-z0-9_]*", file.read()))
json.dump({word.decode(): count for word, count in counts.items()}, sys.stdout)
