"""Exported files: checked anywhere, and whatever is done to one is found; no database behind them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from skillyard.governance.audit import EMPTY, Action, AuditRecord, BreakKind, Entry, Head, seal, verify_export
from skillyard.governance.audit.document import MOST_LINE_BYTES, FileKind, FileMaker, Header, opened
from skillyard.governance.audit.document_check import verify_file
from skillyard.governance.audit.signed import RegisteredKey, file_statement, signed_head
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import SYSTEM
from skillyard.governance.signing import SigningKey
from skillyard.ids import WorkspaceId

AT = "2026-01-02T12:00:00.000000Z"
KEY = SigningKey(Ed25519PrivateKey.generate())
STRANGER = SigningKey(Ed25519PrivateKey.generate())
COUNT = 8


def entries(count: int = COUNT, *, start: Head = EMPTY, workspace: int = 1) -> list[Entry]:
    made, head = [], start
    for number in range(count):
        at = datetime(2026, 1, 2, 12, tzinfo=UTC)
        subject = f"pypi/p{start.seq + number + 1}"
        record = AuditRecord(WorkspaceId(workspace), at, SYSTEM, Action.PACKAGE_BANNED, subject, {"n": number})
        made.append(seal(record, head))
        head = Head(made[-1].seq, made[-1].hash)
    return made


def file_of(
    records: list[Entry], *, kind: FileKind = FileKind.CHAIN, after: Head = EMPTY, key: SigningKey = KEY
) -> list[bytes]:
    """A file with a signed head at its fourth record."""
    maker = FileMaker(Header(kind, 1, "default", after))
    lines = [maker.begin(), maker.key(RegisteredKey(KEY.id, KEY.public.hex, AT, None, None, None, None))]
    for number, entry in enumerate(records, 1):
        lines.append(maker.record(entry))
        if number == 4 and kind is FileKind.CHAIN:
            lines.append(maker.checkpoint(signed_head(KEY, 1, entry.seq, entry.hash, AT)))
    return [*lines, maker.end(key, AT)]


WHOLE = file_of(entries())
# Header, key, four records, the signed head, four records, trailer.
HEADER, KEY_LINE, FIRST, SIGNED, LAST, TRAILER = 0, 1, 2, 6, 10, 11


def test_a_file_verifies_with_the_key_that_signed_it() -> None:
    found = verify_export(WHOLE, trusted=[KEY.id])
    assert (found.broken, found.records, found.unsigned, found.checkpoints) == (None, COUNT, 0, 1)
    assert found.head.seq == COUNT


def test_without_a_key_that_counts_it_says_whose_signature_it_would_be() -> None:
    found = verify_export(WHOLE)
    assert (found.broken, found.signed, found.unvouched) == (None, None, (KEY.id,))


@given(st.data())
def test_no_byte_of_a_file_can_be_changed(data: st.DataObject) -> None:
    content = b"".join(WHOLE)
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    lines = bytes(changed).splitlines(keepends=True)
    try:
        found = verify_export(lines, trusted=[KEY.id])
    except AuditBrokenError:
        return
    # The trailer's own bytes may be written in more than one way; what they say may not change.
    same = lines[:-1] == WHOLE[:-1] and orjson.loads(lines[-1]) == orjson.loads(WHOLE[-1])
    assert found.broken is not None or same


@given(st.integers(0, len(WHOLE) - 1))
def test_no_line_can_be_left_out(place: int) -> None:
    try:
        found = verify_export([*WHOLE[:place], *WHOLE[place + 1 :]], trusted=[KEY.id])
    except AuditBrokenError:
        return
    assert found.broken is not None or found.signed is None


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, len(WHOLE) - 1))
def test_no_two_lines_can_change_places(one: int, other: int) -> None:
    lines = list(WHOLE)
    lines[one], lines[other] = lines[other], lines[one]
    if lines == WHOLE:
        return
    try:
        found = verify_export(lines, trusted=[KEY.id])
    except AuditBrokenError:
        return
    assert found.broken is not None


def _trailer(lines: list[bytes], **changed: object) -> list[bytes]:
    """A forger without the key who makes the last line fit what they changed."""
    trailer = json.loads(lines[-1])["trailer"] | changed
    return [*lines[:-1], orjson.dumps({"trailer": trailer}, option=orjson.OPT_APPEND_NEWLINE)]


def _resigned(lines: list[bytes], key: SigningKey) -> list[bytes]:
    facts = {name: value for name, value in json.loads(lines[-1])["trailer"].items() if name != "signature"}
    facts |= {"key_id": key.id, "public_key": key.public.hex}
    return _trailer(lines, **facts, signature=key.sign(file_statement(facts)))


def test_a_file_made_anew_by_somebody_with_another_key_proves_nothing() -> None:
    forged = file_of(entries()[:6], key=STRANGER)
    found = verify_export(forged, trusted=[KEY.id])
    assert found.broken is None
    assert found.signed is not None
    assert (found.signed.seq, found.unsigned) == (4, 2), "only the signed head inside is the key's"
    assert STRANGER.id in found.unvouched


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda: _trailer(WHOLE, last_seq=7), BreakKind.SIGNATURE),
        (lambda: _trailer(WHOLE, records=7), BreakKind.SIGNATURE),
        (lambda: _trailer(WHOLE, at="2027-01-02T12:00:00.000000Z"), BreakKind.SIGNATURE),
        (lambda: _trailer(WHOLE, signature="00" * 64), BreakKind.SIGNATURE),
        (lambda: _trailer(WHOLE, signature="no signature"), BreakKind.SIGNATURE),
        (lambda: _trailer(WHOLE, key_id=STRANGER.id), BreakKind.SIGNATURE),
        (lambda: _trailer(WHOLE, public_key=STRANGER.public.hex), BreakKind.SIGNATURE),
        (lambda: _trailer(WHOLE, more="something"), BreakKind.SIGNATURE),
        (lambda: WHOLE[:-1], BreakKind.TRUNCATED),
        (lambda: WHOLE[:5], BreakKind.TRUNCATED),
        (lambda: [*WHOLE[:4], *WHOLE[5:]], BreakKind.MISSING),
        (lambda: [*WHOLE[:3], WHOLE[4], WHOLE[3], *WHOLE[5:]], BreakKind.MISSING),
        (lambda: [*WHOLE[:3], WHOLE[3].replace(b"pypi/p2", b"pypi/p9"), *WHOLE[4:]], BreakKind.EDITED),
    ],
)
def test_what_was_done_to_a_file_is_named(change: Callable[[], list[bytes]], kind: BreakKind) -> None:
    found = verify_export(change(), trusted=[KEY.id])
    assert found.broken is not None
    assert found.broken.kind is kind, found.broken.message


def test_a_file_may_begin_where_another_ends() -> None:
    whole = entries()
    start = Head(whole[3].seq, whole[3].hash)
    part = file_of(whole[4:], after=start)
    found = verify_export(part, trusted=[KEY.id])
    assert (found.broken, found.records, found.head.seq) == (None, 4, COUNT)
    noted = [Head(2, "0" * 64)]
    assert verify_export(part, noted, trusted=[KEY.id]).broken is None, "what was noted of before is not in this file"
    wrong = verify_export(part, [Head(6, "0" * 64)], trusted=[KEY.id]).broken
    assert wrong is not None
    assert wrong.kind is BreakKind.HEAD


def test_an_excerpt_is_records_one_by_one_and_a_signature_over_all() -> None:
    whole = entries()
    picked = file_of([whole[1], whole[4], whole[6]], kind=FileKind.EXCERPT)
    found = verify_export(picked, trusted=[KEY.id])
    assert (found.broken, found.excerpt, found.records) == (None, True, 3)
    assert found.signed is not None
    for changed in (
        [*picked[:3], *picked[4:]],
        [picked[0], picked[1], picked[3], picked[2], *picked[4:]],
        [*picked[:2], picked[2].replace(b"pypi/p2", b"pypi/p9"), *picked[3:]],
        picked[:-1],
        _resigned([*picked[:3], *picked[4:]], STRANGER),
    ):
        assert verify_export(changed, trusted=[KEY.id]).broken is not None


@pytest.mark.parametrize(
    "bad", [b"not json\n", b'{"seq": 1}\n', b"[]\n", b'{"header": {}}\n', b"3\n", b'{"key": 7}\n', b"\n"]
)
def test_a_line_that_is_no_record_is_refused_with_its_number(bad: bytes) -> None:
    with pytest.raises(AuditBrokenError, match="line 4"):
        verify_export([*WHOLE[:3], bad, *WHOLE[3:]])
    with pytest.raises(AuditBrokenError, match="line 13"):
        verify_export([*WHOLE, WHOLE[3]])


def test_a_plain_chain_of_before_there_were_signatures_is_checked_as_ever() -> None:
    lines = [orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in entries()]
    found = verify_export(lines)
    assert (found.broken, found.signed, found.unvouched) == (None, None, ())
    cut = verify_export(lines[:5], [found.head]).broken
    assert cut is not None
    assert cut.kind is BreakKind.TRUNCATED
    missing = verify_export(lines[1:]).broken
    assert missing is not None
    assert (missing.kind, missing.seq) == (BreakKind.MISSING, 1)
    empty = verify_export([]).broken
    assert empty is not None


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    for name, content in (("plain", b"".join(WHOLE)), ("packed", gzip.compress(b"".join(WHOLE)))):
        file = tmp_path / name
        file.write_bytes(content)
        assert verify_file(lambda file=file: opened(file), trusted=[KEY.id]).unsigned == 0


@pytest.mark.parametrize("cut", [1, 8, 200])
def test_a_compressed_file_that_was_cut_is_no_shorter_chain(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "cut"
    file.write_bytes(gzip.compress(b"".join(WHOLE))[:-cut])
    with pytest.raises(AuditBrokenError, match="cut"):
        verify_file(lambda: opened(file), trusted=[KEY.id])


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "bomb.gz"
    with gzip.open(file, "wb", compresslevel=1) as packed:
        for _ in range(MOST_LINE_BYTES // 2**20 + 2):
            packed.write(b" " * 2**20)
    with pytest.raises(AuditBrokenError, match="a line of more than"):
        verify_file(lambda: opened(file))
