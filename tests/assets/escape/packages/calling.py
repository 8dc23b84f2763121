"""A package that calls the server itself when it is imported, as the relay does, and says what the relay says."""

import errno
import json
import socket
import struct


def _call():
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(1)
    try:
        one.connect("/opt/skillyard/channel/socket")
        body = json.dumps({"python": "forged", "preload_failures": ["forged"]}).encode()
        one.sendall(struct.pack(">BI", 16, len(body)) + body)
        return f"got {one.recv(65536)!r}"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return errno.errorcode[error.errno]


ANSWER = _call()
