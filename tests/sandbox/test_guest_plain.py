"""The guest's small stand-ins for large modules, beside the originals; and that it loads none of these."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import skillyard
from hypothesis import given
from hypothesis import strategies as st
from skillyard.sandbox.guest import bundle, plain

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=_JSON, plainly=st.booleans())
def test_what_is_written_is_what_json_writes(value: object, plainly: bool) -> None:
    expected = json.dumps(value, ensure_ascii=plainly, separators=(",", ":"))
    assert plain.dumps(value, ensure_ascii=plainly) == expected
    assert plain.loads(expected) == plain.loads(f" \n{expected}\t ".encode(errors="surrogatepass")) == value


@given(text=st.text(alphabet='{}[],:"0123456789.eE+-truefalsn \\u', max_size=12))
def test_what_is_read_is_what_json_reads(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
            plain.loads(text)
    else:
        assert repr(plain.loads(text)) == repr(expected)


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, float("nan"), [float("inf")], _endless(), b"bytes", {1, 2}])
def test_what_is_no_json_is_refused_as_json_refuses_it(value: object) -> None:
    with pytest.raises((TypeError, ValueError)) as ours:
        plain.dumps(value, allow_nan=False)
    with pytest.raises(type(ours.value)) as theirs:
        json.dumps(value, allow_nan=False)
    assert str(ours.value) == str(theirs.value)


def test_descriptors_travel_with_a_packet() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        readable, writable = os.pipe()
        plain.send_fds(left, b"two", [readable, writable])
        data, received = plain.recv_fds(right, 16, 4)
        assert data == b"two"
        os.write(received[1], b"through")
        assert os.read(readable, 16) == b"through"
        for descriptor in (readable, writable, *received):
            os.close(descriptor)


def test_suppress_lets_pass_what_it_was_not_made_for() -> None:
    with plain.suppress(OSError, ValueError):
        raise FileNotFoundError
    with pytest.raises(KeyError), plain.suppress(OSError):
        raise KeyError


def test_the_guest_loads_none_of_the_large_modules() -> None:
    """They would double what an interpreter takes to get ready, and make every fork dearer."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(skillyard.__file__).parents[1])!r}); "
        "from skillyard.sandbox.guest import call, channel, loop, nursery, zygote; print(*sys.modules)"
    )
    # As the guest is started; what a virtual environment's start-up imports is not its.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    large = {"json", "re", "enum", "signal", "socket", "selectors", "contextlib", "functools", "collections", "typing"}
    assert not large & set(done.stdout.split())


def test_what_compiled_files_import_of_the_standard_library_is_found(tmp_path: Path) -> None:
    filler = "\n".join(f"name_{number} = {number}" for number in range(300))
    (tmp_path / "main.py").write_text(
        f"{filler}\nimport csv, this, antigravity\nimport pandas\nfrom os import path\nimport xml.dom.minidom\n"
        "def run():\n    import decimal\n    return [(lambda: __import__('uuid')) for _ in ()]\n"
        "class Late:\n    def method(self):\n        from email.message import Message\n"
    )
    before = dict(bundle._code)
    try:
        bundle._code.clear()
        bundle.compile_file(str(tmp_path / "main.py"))
        assert bundle.standard_imports() == ["csv", "decimal", "email.message", "os", "xml.dom.minidom"]
    finally:
        bundle._code.clear()
        bundle._code.update(before)
