"""Running other programs: bounded in time, output, disk and memory, and dead when their task or this process is.

Belongs here: how a program is started, watched and ended. Does not belong here: which programs, and what their answers
mean (``sandbox`` for uv and mmdebstrap, ``governance.engines`` for vulnerability scanners).
I/O: subprocesses, and the size of folders.
"""
