"""Frames survive any cut, and nothing that is no frame is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from skillyard.sandbox.guest.frames import HEADER, KINDS, MAX_PAYLOAD, Decoder, FrameError, Kind, encode, path_problem

frames = st.lists(st.tuples(st.sampled_from(sorted(KINDS.values())), st.binary(max_size=300)), max_size=20)


@given(frames, st.data())
def test_a_stream_gives_its_frames_however_it_is_cut(sent: list[tuple[Kind, bytes]], data: st.DataObject) -> None:
    stream = b"".join(encode(kind, payload) for kind, payload in sent)
    decoder, received, position = Decoder(), [], 0
    while position < len(stream):
        size = data.draw(st.integers(1, len(stream) - position))
        received += decoder.feed(stream[position : position + size])
        position += size
    assert received == sent


@pytest.mark.parametrize("number", sorted(set(range(256)) - set(KINDS)))
def test_an_unknown_kind_is_refused(number: int) -> None:
    with pytest.raises(FrameError, match="unknown"):
        Decoder().feed(HEADER.pack(number, 0))


def test_a_frame_over_the_limit_is_refused_before_it_is_collected() -> None:
    with pytest.raises(FrameError, match="over the limit"):
        Decoder().feed(HEADER.pack(Kind.RESULT, MAX_PAYLOAD + 1))
    with pytest.raises(FrameError, match="over the limit"):
        encode(Kind.RESULT, bytes(MAX_PAYLOAD + 1))
    assert Decoder().feed(encode(Kind.RESULT, bytes(MAX_PAYLOAD))) == [(Kind.RESULT, bytes(MAX_PAYLOAD))]


@pytest.mark.parametrize(
    "path", ["a", "a/b.txt", "ü/ß", "...", "a b", "\u0645\u200c\u0646", "x" * 255, "/".join("a" * 32)]
)
def test_ordinary_paths_are_accepted(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "./a",
        "a\0b",
        "a\nb",
        "a\\b",
        "\x7f",
        "a\x9bb",
        "report\u202efdp.exe",
        "a\u2028b",
        "\ufeffa",
        "\ud800",
        "x" * 256,
        "/".join("a" * 33),
        "/".join(["x" * 200] * 6),
    ],
)
def test_paths_that_mean_something_else_somewhere_are_refused(path: str) -> None:
    assert path_problem(path) is not None


@given(st.text(max_size=40))
def test_no_accepted_path_leaves_its_folder(path: str) -> None:
    if path_problem(path) is None:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
