"""``python -m benchmarks [NAME…]``: measure the named claims, or all; write ``results.json`` and the page about it."""

from __future__ import annotations

import sys

from benchmarks.claims import CLAIMS, measured, measuring, unknown
from benchmarks.effort import FULL
from benchmarks.page import write_page
from benchmarks.results import RESULTS, read, write


def main(names: list[str]) -> int:
    if (wrong := unknown(names)) is not None:
        print(wrong, file=sys.stderr)
        return 2
    with measuring():
        for name in names or CLAIMS:
            result = measured(name, FULL)
            write(result)
            write_page(read())
            print(result.text(), flush=True)
    print(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
