"""A package that talks without end, in a thread that it starts when it is imported."""

import os
import threading


def _talk():
    while True:
        os.write(1, b"blah" * 4096)


threading.Thread(target=_talk, daemon=True).start()
