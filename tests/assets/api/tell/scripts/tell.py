"""Tell progress and log lines, print a lot, answer with a lot."""

import hashlib
import sys
import time
from pathlib import Path

import skillyard_call


def run(result: int = 0, printed: int = 0) -> dict[str, object]:
    skillyard_call.progress(1, 2, "half way")
    skillyard_call.log("notice", "grüße", {"number": 1.5})
    for _ in range(printed):
        sys.stdout.write("o")
        sys.stdout.flush()
        sys.stderr.write("e")
        sys.stderr.flush()
    return {"text": "x" * result, "number": 2**70}


def page() -> None:
    """Files that a browser might take for something to show or run."""
    for name in ("page.html", "picture.svg", "script.js", "table.csv", "archive.tar.gz", "data.bin"):
        Path(name).write_bytes(b"<script>alert(1)</script>")


def digest(path: str) -> dict[str, object]:
    with Path(path).open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def slow(seconds: float) -> float:
    Path("left.txt").write_text("left")
    print("begun", flush=True)
    time.sleep(seconds)
    return seconds
