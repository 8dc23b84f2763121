"""A package that makes memory all processes can find, and holds on to it."""

import ctypes

LIBC = ctypes.CDLL(None)
LIBC.shmat.restype = ctypes.c_void_p
LIBC.shmat(LIBC.shmget(4711, 4096, 0o1666), None, 0)
