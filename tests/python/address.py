# SPDX-License-Identifier: MIT
"""Where the bytes behind an object are."""

import ctypes


class _Buffer(ctypes.Structure):
    _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.py_object), ("len", ctypes.c_ssize_t),
                ("rest", ctypes.c_char * 128)]


def mapping_of(data):
    """What is mapped where an object's bytes are: a line of /proc/self/maps."""
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(data), ctypes.byref(buffer), 0)
    first, last = buffer.buf, buffer.buf + buffer.len - 1
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= first and last < end:
                return line.strip()
    return ""
