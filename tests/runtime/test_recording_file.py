"""A recording's file: bounded, honest about what it left out, readable while it is written."""

from __future__ import annotations

import base64
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skillyard.runtime.recording_file import DONE, LIVE, RecordingFile, written_in

MIB = 1024 * 1024


def opened(folder: Path, limit: int = MIB) -> RecordingFile:
    return RecordingFile(folder / f"call{LIVE}", limit)


def events(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def contents(recorded: list[dict[str, Any]]) -> dict[str, bytes]:
    """The bytes of every part, put together again."""
    parts: dict[str, bytes] = defaultdict(bytes)
    for event in recorded:
        if "text" in event:
            parts[event["of"]] += event["text"].encode()
        elif "base64" in event:
            parts[event["of"]] += base64.b64decode(event["base64"])
    return dict(parts)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=100_000)), max_size=8))
def test_what_fits_is_kept_byte_by_byte(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    file = opened(folder, 4 * MIB)
    expected: dict[str, bytes] = defaultdict(bytes)
    for of, data in said:
        file.data("output", of, data)
        expected[of] += data
    file.end({"state": "succeeded"})
    file.close()
    recorded = events(folder / f"call{DONE}")
    assert contents(recorded) == {of: data for of, data in expected.items() if data}
    assert (recorded[-1]["event"], recorded[-1]["truncated"]) == ("ended", False)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(["input", "stdout"]), st.binary(max_size=60_000), st.booleans()), max_size=30),
    st.integers(70 * 1024, 300 * 1024),
)
def test_never_beyond_the_limit_and_what_is_kept_is_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, bytes, bool]], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    file = opened(folder, limit)
    whole: dict[str, bytes] = defaultdict(bytes)
    for of, data, halved in said:
        file.data("output", of, data, limit=limit // 2 if halved else None)
        whole[of] += data
    file.end({"state": "succeeded"})
    file.close()
    path = folder / f"call{DONE}"
    recorded = events(path)
    assert path.stat().st_size <= limit
    kept = contents(recorded)
    told = {event["of"]: event for event in recorded if event["event"] == "truncated"}
    for of, data in whole.items():
        part = kept.get(of, b"")
        assert data.startswith(part)
        assert (of in told) == (len(part) < len(data))
        if of in told:
            assert told[of]["message"] == f"truncated at {len(part)} of {len(data)} bytes"
    assert recorded[-1]["truncated"] is bool(told)


def test_the_end_of_a_line_that_comes_alone_is_text_too(tmp_path: Path) -> None:
    file = opened(tmp_path)
    for said in (b"a", b"\n", b'"q"\n', b"\x00\x01", b"\xff"):
        file.data("output", "stdout", said)
    file.close()
    told = events(tmp_path / f"call{DONE}")
    kept = [{key: event[key] for key in ("text", "base64") if key in event} for event in told]
    assert kept == [{"text": "a"}, {"text": "\n"}, {"text": '"q"\n'}, {"base64": "AAE="}, {"base64": "/w=="}]


def test_what_is_written_is_read_while_it_is_and_the_reserved_room_is_not(tmp_path: Path) -> None:
    file = opened(tmp_path)
    path = tmp_path / f"call{LIVE}"
    file.line("started", {"invocation": "x"})
    file.data("output", "stdout", b"one\x00two")
    data = path.read_bytes()
    assert len(data) == MIB, "the room is reserved from the beginning"
    lines = written_in(data)
    assert contents([orjson.loads(line) for line in lines.splitlines()]) == {"stdout": b"one\x00two"}
    assert path.stat().st_mode & 0o777 == 0o600
    file.close()
    assert (tmp_path / f"call{DONE}").read_bytes() == lines
    file.close()


def test_events_without_room_are_counted(tmp_path: Path) -> None:
    file = opened(tmp_path, 80 * 1024)
    for number in range(1000):
        file.fact("log", "log", {"level": "info", "message": "m" * 100, "data": number})
    file.end({"state": "failed"})
    file.close()
    recorded = events(tmp_path / f"call{DONE}")
    numbers = [event["data"] for event in recorded if event["event"] == "log"]
    assert numbers == list(range(len(numbers)))
    assert 0 < len(numbers) < 1000
    assert [event["of"] for event in recorded if event["event"] == "truncated"] == ["log"]


def test_a_recording_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / f"call{DONE}").rename(tmp_path / f"call{LIVE}")
    with pytest.raises(FileExistsError):
        opened(tmp_path)
