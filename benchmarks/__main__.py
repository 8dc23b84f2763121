"""``python -m benchmarks [NAME…]``: measure the named claims, or all, and write them into ``results.json``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

import structlog

from benchmarks import decision, throughput, warm_call
from benchmarks.results import RESULTS, Result, write

CLAIMS: Mapping[str, Callable[[], Awaitable[Result]]] = {
    "warm_call": warm_call.measure,
    "throughput": throughput.measure,
    "decision": decision.measure,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in CLAIMS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(CLAIMS)}", file=sys.stderr)
        return 2
    # What is measured is what a server does that logs to a file nobody reads at the moment.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=True)
    for name in names or CLAIMS:
        result = asyncio.run(CLAIMS[name]())
        write(result)
        print(result.text(), flush=True)
    print(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
