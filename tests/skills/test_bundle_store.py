"""A stored bundle is exactly what was hashed, complete or absent, whatever happens to the process that writes it."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from skillyard.errors import InputError, MachineError, NotFoundError
from skillyard.ids import BundleDigest
from skillyard.skills.bundle import make_bundle
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.errors import SkillError


@pytest.fixture
def folder(make_skill) -> Path:
    folder = make_skill(files={"scripts/run.py": "print(1)\n", "assets/data.bin": bytes(3 * 2**20)})
    (folder / "scripts" / "run.py").chmod(0o755)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"")
    return folder


@pytest.fixture
def store(tmp_path) -> BundleStore:
    return BundleStore(tmp_path / "bundles")


def _left(store: BundleStore) -> list[str]:
    return [path.name for path in store._root.iterdir() if path.name.startswith(".")]


def test_a_stored_bundle_has_the_same_digest_and_cannot_be_written(folder, store):
    bundle = make_bundle(folder)
    kept = store.put(folder, bundle)
    assert make_bundle(kept) == bundle
    assert store.path(bundle.digest) == kept
    assert not (kept / ".git").exists()
    modes = {path.relative_to(kept).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in [kept, *kept.rglob("*")]}
    assert modes == {
        ".": 0o555,
        "SKILL.md": 0o444,
        "assets": 0o555,
        "assets/data.bin": 0o444,
        "scripts": 0o555,
        "scripts/run.py": 0o555,
    }
    assert _left(store) == []


def test_a_file_changed_since_it_was_hashed_is_not_stored(folder, store):
    bundle = make_bundle(folder)
    (folder / "scripts" / "run.py").write_text("print(2)\n")
    with pytest.raises(SkillError, match=r"scripts/run\.py: changed"):
        store.put(folder, bundle)
    assert not store.has(bundle.digest)
    assert _left(store) == []


def test_many_puts_of_one_bundle_at_once_all_succeed(folder, store):
    bundle = make_bundle(folder)
    barrier = threading.Barrier(8)

    def put(_number: int) -> Path:
        barrier.wait(timeout=60)
        return store.put(folder, bundle)

    with ThreadPoolExecutor(8) as pool:
        kept = set(pool.map(put, range(8)))
    assert len(kept) == 1
    assert make_bundle(kept.pop()) == bundle
    assert _left(store) == []


_PUT = """
    import sys
    from pathlib import Path
    from skillyard.skills import bundle_store
    from skillyard.skills.bundle import make_bundle
    from skillyard.skills.bundle_store import BundleStore

    folder, root, pause = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "pause"
    if pause:
        def wait(part, final):
            print("written", flush=True)
            sys.stdin.read()
        bundle_store._publish = wait
    print(BundleStore(root).put(folder, make_bundle(folder)))
"""


def _putting(folder: Path, root: Path, mode: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(_PUT)
    command = [sys.executable, "-c", code, str(folder), str(root), mode]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_puts_from_several_processes_agree(folder, tmp_path):
    root = tmp_path / "bundles"
    running = [_putting(folder, root, "go") for _ in range(3)]
    printed = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(printed) == 1


def test_what_a_killed_put_leaves_is_never_taken_for_a_bundle_and_is_swept(folder, store):
    """The process is killed when everything is written but not yet renamed, the worst moment."""
    digest = make_bundle(folder).digest
    with _putting(folder, store._root, "pause") as process:
        assert process.stdout.readline() == "written\n"
        assert store.sweep() == 0, "a put that is alive must not be swept"
        assert len(_left(store)) == 2
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert not store.has(digest)
    assert store.sweep() == 1
    assert _left(store) == []
    store.put(folder, make_bundle(folder))
    assert store.has(digest)


def test_remove_forgets_and_may_be_repeated(folder, store):
    bundle = make_bundle(folder)
    store.put(folder, bundle)
    store.remove(bundle.digest)
    store.remove(bundle.digest)
    assert not store.has(bundle.digest)
    assert _left(store) == []
    with pytest.raises(NotFoundError):
        store.path(bundle.digest)


@pytest.mark.parametrize("digest", ["sha256:../../etc", "", "sha256:" + "A" * 64, "md5:" + "0" * 64, "0" * 64])
def test_what_is_no_digest_never_becomes_a_path(store, digest):
    with pytest.raises(InputError):
        store.path(BundleDigest(digest))


def test_a_store_that_cannot_be_written_is_the_machines_fault(folder, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError, match="could not be stored"):
        BundleStore(tmp_path / "file" / "bundles").put(folder, make_bundle(folder))


def test_a_disk_that_takes_no_more_leaves_nothing_half_stored(folder, store):
    """A limit on file sizes stands in for the full disk: the write fails in the middle of the second file."""
    put = textwrap.dedent(_PUT)
    command = ["sh", "-c", 'ulimit -f 2048; exec "$@"', "sh", sys.executable, "-c", put, str(folder), str(store._root)]
    process = subprocess.run([*command, "go"], check=False, capture_output=True, text=True, timeout=60)
    assert process.returncode == 1
    assert "MachineError: the bundle could not be stored: File too large" in process.stderr
    assert _left(store) == []
    assert not store.has(make_bundle(folder).digest)
