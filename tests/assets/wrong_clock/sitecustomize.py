"""On a process's path, this makes the time of day in it wrong by as many seconds as ``WRONG_CLOCK_FILE`` says just now.

Only the time of day: what measures how long something takes goes on, as on a machine whose clock somebody sets. Python
loads it before anything else; a preloaded library that does the same (libfaketime) makes a server three times slower.
"""

import ctypes
import datetime as dt
import gc
import os
import time
from pathlib import Path

_LOOK_SECONDS = 0.2

_file = Path(os.environ["WRONG_CLOCK_FILE"])
_right_now, _right_time = dt.datetime.now, time.time
_wrong_by = [0.0, 0.0]
"""Until when it counts (on the clock that nobody sets), and the seconds."""


def _seconds() -> float:
    if time.monotonic() >= _wrong_by[0]:
        _wrong_by[1] = float(_file.read_text("ascii"))
        _wrong_by[0] = time.monotonic() + _LOOK_SECONDS
    return _wrong_by[1]


def _now(cls, tz=None):
    return cls.fromtimestamp(_right_time() + _seconds(), tz)


def _time() -> float:
    return _right_time() + _seconds()


time.time = _time
# Attributes of a type written in C cannot be set; its dictionary behind the proxy can be.
gc.get_referents(dt.datetime.__dict__)[0]["now"] = classmethod(_now)
ctypes.pythonapi.PyType_Modified(ctypes.py_object(dt.datetime))
