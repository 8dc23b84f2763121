"""``python -m tests.acceptance [NAME…]``: tell the named stories, or all.

Each prints one JSON document ``{"name", "ok", "figures"}`` on standard output. Exit code: 0 where all went well, 1
where a check failed, 2 where a story could not be told (a wrong name, a machine that lacks something, a break that does
not fit). With ``BREAK=1`` in the environment every story has to fail at the check that guards what was broken: then it
is 1; a story that ends in any other way makes it 0 (it did not notice) or 2 (something else went wrong).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from tests.acceptance.stage import Stage, say
from tests.acceptance.stories import STORIES
from tests.acceptance.story import CheckFailedError, Figure, HarnessError, Story

LIMIT_SECONDS = 600
"""Several times what the longest takes on a busy machine: for what hangs."""
DONE, FAILED, UNTOLD = 0, 1, 2


class StoryTimeoutError(Exception):
    """A story took longer than any may."""


def main(names: list[str], *, broken: bool) -> int:
    unknown = [name for name in names if name not in STORIES]
    if unknown:
        say(f"no such story: {', '.join(unknown)}; there are: {', '.join(STORIES)}")
        return UNTOLD
    codes = [_tell(STORIES[name], broken=broken) for name in names or STORIES]
    # Over several broken stories, one that did not notice is no better than one that could not be told.
    return UNTOLD if broken and len(set(codes)) > 1 else max(codes)


def _tell(story: Story, *, broken: bool) -> int:
    say(f"{story.name}{f', broken: {story.breaks.says}' if broken else ''}")
    figures: dict[str, Figure] = {}
    began = time.monotonic()
    try:
        with _limited(LIMIT_SECONDS):
            stage = Stage(story.breaks if broken else None)
            figures = stage.figures
            try:
                story.tell(stage)
            finally:
                figures["checks"] = len(stage.checks)
                stage.close()
        code = DONE
    except CheckFailedError as error:
        figures["failed_check"], figures["saw"] = error.check, error.saw
        code = FAILED if not broken or error.check == story.breaks.trips else UNTOLD
    except (HarnessError, StoryTimeoutError) as error:
        figures["untold"] = f"{type(error).__name__}: {error}"
        code = UNTOLD
    except Exception as error:  # noqa: BLE001 - a mistake in the story: it is told like any other, with its place
        say(traceback.format_exc())
        figures["untold"] = f"{type(error).__name__}: {error}"
        code = UNTOLD
    if broken:
        figures["broken"] = story.breaks.says
    figures["seconds"] = round(time.monotonic() - began, 1)
    sys.stdout.write(json.dumps({"name": story.name, "ok": code == DONE, "figures": figures}) + "\n")
    sys.stdout.flush()
    return code


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Ends the story by an exception in it, so that its clean-up runs."""

    def on_alarm(_number: int, _frame: object) -> None:
        raise StoryTimeoutError(f"not told within {seconds} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _on_term(_number: int, _frame: object) -> None:
    sys.exit(143)


if __name__ == "__main__":
    # By default SIGTERM ends a process on the spot, and the servers it started would stay.
    signal.signal(signal.SIGTERM, _on_term)
    sys.exit(main(sys.argv[1:], broken=os.environ.get("BREAK", "") not in {"", "0"}))
