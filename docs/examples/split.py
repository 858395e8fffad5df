# SPDX-License-Identifier: MIT
"""split: the files of a tree, in shards."""

import os

import symphony_ipc

ext = symphony_ipc.Extension("split", version="1", summary="the files of a tree, in shards")


def files(folder, types):
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if entry.name[0] != "." and entry.name != "build":
                yield from files(entry.path, types)
        elif os.path.splitext(entry.name)[1] in types and entry.is_file():
            yield entry.path


@ext.method
def tree(root: str, types: str, shards: int) -> list[list[str]]:
    """The paths of files of some types; those in hidden folders and in build are left out."""
    paths = sorted(files(os.path.abspath(root), types.split()))
    return [paths[i::shards] for i in range(shards)]


ext.main()
