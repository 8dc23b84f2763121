"""The first process of a sandbox's container: alone holds the channel, imports nothing foreign, conducts calls.

Started as ``python3 -I -S -B -X utf8 relay.py [SOCKET]``. Being process 1, it is deaf to every signal from inside that
it has no handler for, SIGKILL included, and every orphan becomes its child; when it ends, the kernel ends all others.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

_COMPANIONS_SECONDS = 1.0
_PACKAGE_ROOT = os.path.abspath(__file__ + "/../../../..")
if __name__ == "__main__":
    sys.path.insert(0, _PACKAGE_ROOT)

from skillyard.sandbox.guest import kernel, scratch, zygote  # noqa: E402 - only now are they found
from skillyard.sandbox.guest.call import Limits, Tools, conduct, send_ready  # noqa: E402
from skillyard.sandbox.guest.channel import Channel  # noqa: E402
from skillyard.sandbox.guest.frames import Kind  # noqa: E402
from skillyard.sandbox.guest.loop import Loop  # noqa: E402
from skillyard.sandbox.guest.nursery import Nursery  # noqa: E402
from skillyard.sandbox.guest.plain import loads  # noqa: E402


def main() -> None:
    if os.getpid() != 1:
        # It ends every process that it does not know; outside a container that would be everybody else's.
        raise SystemExit("the relay runs as the first process of a container only")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernel.set_dumpable(False)
    loop = Loop()
    channel = Channel(loop, sys.argv[1] if len(sys.argv) > 1 else None)
    kind, payload = channel.next_frame()
    if kind is not Kind.HELLO:
        raise SystemExit("the first frame must be HELLO")
    hello: dict[str, Any] = loads(payload)
    writable = scratch.Scratch()
    nursery = _start_zygote(loop, hello)
    tools = Tools(
        loop=loop,
        channel=channel,
        nursery=nursery,
        limits=Limits(hello["stream_bytes"], hello["result_bytes"], hello["artefact_bytes"]),
        bundle=hello["bundle"],
        writable=writable,
    )
    _serve(tools)


def _start_zygote(loop: Loop, hello: dict[str, Any]) -> Nursery:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    log_read, log_write = os.pipe2(os.O_CLOEXEC)
    preparation = zygote.Preparation(hello["bundle"], hello["environment"], hello["preload"])
    pid = os.fork()
    if pid == 0:
        try:
            zygote.run(theirs, log_write, preparation, _PACKAGE_ROOT)
        finally:
            os._exit(70)
    theirs.close()
    os.close(log_write)
    # The kernel counts descriptors under way for the user, across containers, and refuses to send more when there are
    # more than the sender may have open. A relay may have more than a call anywhere, so that none can stop it.
    _, most = kernel.open_files()
    kernel.limit_open_files(most, most)
    nursery = Nursery(loop, ours, log_read, pid)
    nursery.watch()
    return nursery


def _serve(tools: Tools) -> None:
    nursery = tools.nursery
    tools.loop.run(lambda: nursery.started or nursery.problem is not None)
    if nursery.problem is not None:
        _end(tools, f"{nursery.problem} while it imported packages\n{nursery.log_text()}")
    # What imports started and wrote is no part of what a call finds: else the first would find more than the second.
    nursery.end_companions(time.monotonic() + _COMPANIONS_SECONDS)
    try:
        tools.scratch.restore()
    except OSError as error:
        _end(tools, f"what packages left when they were imported could not be removed: {error}")
    nursery.replenish()
    facts = {"python": sys.version.split()[0], "preload_failures": nursery.preload_failures.splitlines()}
    send_ready(tools, facts)
    problem = nursery.problem
    while problem is None:
        header = _next_call(tools)
        problem = nursery.problem if header is None else conduct(tools, header) or nursery.problem
    _end(tools, problem)


def _next_call(tools: Tools) -> dict[str, Any] | None:
    """``None`` where the zygote ends while nobody calls: told at once, that costs no call."""
    while True:
        tools.loop.run(lambda: tools.channel.waiting or tools.nursery.problem is not None)
        if not tools.channel.waiting:
            return None
        kind, payload = tools.channel.next_frame()
        # A CANCEL may cross with the END of its call; what is left of that call is taken off the channel.
        if kind is Kind.CALL:
            header: dict[str, Any] = loads(payload)
            return header


def _end(tools: Tools, problem: str) -> None:
    """Say that the container is spent, and wait to be removed."""
    tools.channel.put_json(Kind.SPENT, {"reason": problem[:8000]})
    tools.channel.flush()
    tools.loop.run(lambda: False)


if __name__ == "__main__":
    main()
