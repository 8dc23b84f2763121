"""``python -m benchmarks [NAME…]``: measure the named claims, or all; write ``results.json`` and the page about it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping

import structlog

from benchmarks import decision, throughput, warm_call
from benchmarks.page import write_page
from benchmarks.results import RESULTS, Result, read, write

CLAIMS: Mapping[str, Callable[[], Coroutine[None, None, Result]]] = {
    "warm_call": warm_call.measure,
    "throughput": throughput.measure,
    "decision": decision.measure,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in CLAIMS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(CLAIMS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryFile("w") as log:
        # A server writes a line for every call, and so does what is measured.
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(log), cache_logger_on_first_use=True)
        for name in names or CLAIMS:
            result = asyncio.run(CLAIMS[name]())
            write(result)
            write_page(read())
            print(result.text(), flush=True)
    print(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
