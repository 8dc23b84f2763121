"""Whatever cannot be read whole must stop an import: half a file of advisories makes packages look clean."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from skillyard.governance.advisories.records import ReadLimits, read_records
from skillyard.governance.errors import AdvisorySourceError

Write = Callable[[Path], None]
LINES = b'{"id":"A"}\n\n{"id":"B"}\n'


def _zip(*members: tuple[str, bytes]) -> Write:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)

    return write


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        ("x.jsonl", lambda path: path.write_bytes(LINES), [("x.jsonl", 1), ("x.jsonl", 3)]),
        ("x.jsonl.gz", lambda path: path.write_bytes(gzip.compress(LINES)), [("x.jsonl.gz", 1), ("x.jsonl.gz", 3)]),
        ("x.json", lambda path: path.write_bytes(b'[{"id":"A"},{"id":"B"}]'), [("x.json", None), ("x.json", None)]),
        ("x.json.gz", lambda path: path.write_bytes(gzip.compress(b'{\n "id": "A"\n}')), [("x.json.gz", None)]),
        (
            "x.zip",
            _zip(("b/B.json", b'{"id":"B"}'), ("A.json", b'{"id":"A"}'), ("README.md", b"#"), ("c.jsonl", LINES)),
            [("x.zip!A.json", None), ("x.zip!b/B.json", None), ("x.zip!c.jsonl", 1), ("x.zip!c.jsonl", 3)],
        ),
    ],
)
def test_every_form_gives_its_records(
    tmp_path: Path, name: str, write: Write, expected: list[tuple[str, int | None]]
) -> None:
    write(tmp_path / name)
    records = list(read_records(tmp_path / name))
    assert [(record.source, record.line) for record in records] == expected
    assert all(b'"id"' in record.data for record in records)


def test_a_folder_is_read_in_one_order_without_what_holds_no_records(tmp_path: Path) -> None:
    for name in ("b/2.json", "a/1.json", ".git/x.json", "README.md", "LICENSE", "c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'{"id":"A"}')
    assert [record.source for record in read_records(tmp_path)] == ["c.jsonl", "a/1.json", "b/2.json"]


def _truncated_zip(path: Path) -> None:
    _zip(("A.json", b'{"id":"A"}' * 50))(path)
    path.write_bytes(path.read_bytes()[:-30])


def _corrupted_zip(path: Path) -> None:
    _zip(("A.json", bytes(range(256)) * 8))(path)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.jsonl.gz", lambda path: path.write_bytes(gzip.compress(LINES * 50)[:-12])),
        ("x.jsonl.gz", lambda path: path.write_bytes(b"<html>not found</html>")),
        ("x.zip", _truncated_zip),
        ("x.zip", _corrupted_zip),
        ("x.zip", lambda path: path.write_bytes(b"")),
        ("x.json", lambda path: path.write_bytes(b"[{]")),
        ("x.tar", lambda path: path.write_bytes(LINES)),
        ("x.jsonl", lambda _: None),
    ],
)
def test_what_is_truncated_corrupt_unknown_or_absent_is_an_error(tmp_path: Path, name: str, write: Write) -> None:
    write(tmp_path / name)
    with pytest.raises(AdvisorySourceError):
        list(read_records(tmp_path / name))


@pytest.mark.parametrize("limits", [ReadLimits(record_bytes=100), ReadLimits(total_bytes=100), ReadLimits(records=1)])
@pytest.mark.parametrize("name", ["bomb.jsonl.gz", "bomb.zip"])
def test_a_bomb_is_stopped_while_it_is_read(tmp_path: Path, limits: ReadLimits, name: str) -> None:
    line = b'{"id":"' + b"A" * 5_000_000 + b'"}\n'
    if name.endswith(".zip"):
        _zip(("a.jsonl", line * 2))(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(gzip.compress(line * 2))
    with pytest.raises(AdvisorySourceError, match=r"larger than|more than"):
        list(read_records(tmp_path / name, limits))
