"""Every claim by its name, and how one is measured: with its own things only, and nothing left."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager

import structlog
from skillyard.cli.logs import log_processors

from benchmarks import (
    admission,
    advisory_import,
    audit_verify,
    burst,
    cold_call,
    decide,
    decision,
    delta_sync,
    first_sync,
    hot_swap,
    idle_memory,
    install_first_result,
    publish_to_follower,
    rating_upload,
    rescan,
    scan_50,
    search,
    shared_packages_disk,
    static_scan,
    throughput,
    warm_call,
    warm_call_heavy,
)
from benchmarks.effort import Effort
from benchmarks.leftovers import nothing_left
from benchmarks.provision import provisions
from benchmarks.results import Result

CLAIMS: Mapping[str, Callable[[Effort], Coroutine[None, None, Result]]] = {
    "warm_call": warm_call.measure,
    "warm_call_heavy": warm_call_heavy.measure,
    "throughput": throughput.measure,
    "cold_call": cold_call.measure,
    "install_first_result": install_first_result.measure,
    "shared_packages_disk": shared_packages_disk.measure,
    "hot_swap": hot_swap.measure,
    "idle_memory": idle_memory.measure,
    "decision": decision.measure,
    "decide": decide.measure,
    "admission": admission.measure,
    "audit_verify": audit_verify.measure,
    "advisory_import": advisory_import.measure,
    "scan_50": scan_50.measure,
    "rescan": rescan.measure,
    "static_scan": static_scan.measure,
    "search_100k": search.measure,
    "first_sync_100k": first_sync.measure,
    "delta_100": delta_sync.measure,
    "publish_to_follower": publish_to_follower.measure,
    "burst_10000": burst.measure,
    "ratings_1000": rating_upload.measure,
}


def measured(name: str, effort: Effort) -> Result:
    """One claim, now."""

    async def run() -> Result:
        task = asyncio.current_task()
        assert task is not None
        # Whoever ends us by a signal gets the same clean-up as somebody at a terminal.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with nothing_left():
            return await CLAIMS[name](effort)

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


def unknown(names: list[str]) -> str | None:
    """What to say about names that are no claim."""
    wrong = [name for name in names if name not in CLAIMS]
    return f"no such benchmark: {', '.join(wrong)}; there are: {', '.join(CLAIMS)}" if wrong else None


@contextmanager
def measuring() -> Iterator[None]:
    """What has to hold while claims are measured."""
    provisions()
    try:
        with tempfile.TemporaryFile("w") as log:
            # A server writes a line for every call, and so does what is measured.
            structlog.configure(
                processors=log_processors(for_people=False),
                logger_factory=structlog.WriteLoggerFactory(log),
                cache_logger_on_first_use=True,
            )
            yield
    finally:
        structlog.reset_defaults()
