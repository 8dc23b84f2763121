"""``gc`` and ``doctor --verify`` as commands: beside a running server and alone, their documents and exit codes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import NO_ENGINE, Cli, Served, new_cli, serving, skill


@pytest.fixture
def alone(tmp_path: Path, package_cache: Path) -> Cli:
    """A home that shares nothing but what is known of base images: others' packages must not go."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "images").symlink_to(package_cache / "images")
    return new_cli(tmp_path, cache)


@pytest.fixture
def served(alone: Cli) -> Iterator[Served]:
    with serving(alone) as running:
        yield running


def kinds(document: Any) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in document["kinds"]}


def test_what_a_removed_skill_leaves_goes_beside_a_running_server(served: Served, tmp_path: Path) -> None:
    folder = skill(tmp_path / "made", python="iniconfig==2.1.0")
    assert served.cli("run", folder, "--input", '{"x": 1}', "--approve").code == 0
    home = served.cli.home
    connection = sqlite3.connect(home / "skillyard.db")
    connection.execute("UPDATE skills SET active_version_id = NULL")
    connection.execute("UPDATE skill_versions SET state = 'removed'")
    connection.commit()
    connection.close()
    foretold = served.cli("gc", "--dry-run", "--grace-days", "0", "--json")
    assert (foretold.code, foretold.document["dry_run"]) == (0, True)
    assert (home / "environments" / "python").is_dir()
    waiting = served.cli("gc")
    assert waiting.code == 0
    assert "wait until nothing has needed them for 14 days" in waiting.out
    done = served.cli("gc", "--grace-days", "0", "--json")
    assert (done.code, done.document["complete"]) == (0, True)
    found = kinds(done.document)
    assert (len(found["environments"]["removed"]), len(found["wheels"]["removed"])) == (1, 1)
    assert done.document["freed_bytes"] == foretold.document["freed_bytes"] > 0
    assert served.cli("gc", "--grace-days", "0", "--json").document["freed_bytes"] == 0
    assert served.cli("audit", "verify").code == 0


def test_a_home_without_a_database_is_not_collected(alone: Cli) -> None:
    """Nobody could tell what is needed."""
    found = alone("gc", "--json")
    assert (found.code, found.document["code"]) == (5, "no_database")


def test_without_an_engine_what_it_knows_is_left_alone_and_said(alone: Cli, tmp_path: Path) -> None:
    assert alone("run", skill(tmp_path / "made"), "--input", '{"x": 1}').code == 0
    found = alone("gc", "--json", docker_host=NO_ENGINE)
    assert (found.code, found.document["complete"]) == (1, False)
    assert "does not answer" in kinds(found.document)["bundles"]["skipped"]


def test_a_flipped_bit_is_found_and_mended(alone: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path / "made", python="iniconfig==2.1.0")
    call = ("run", folder, "--input", '{"x": 1}', "--approve")
    assert alone(*call).code == 0
    (file,) = (alone.home / "environments" / "wheels").glob("*/*/files/iniconfig/__init__.py")
    good, before = file.read_bytes(), file.stat()
    file.chmod(0o644)
    file.write_bytes(good.replace(b"import", b"lmport", 1))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    told = alone("doctor", "--verify", "--dry-run")
    assert told.code == 1
    assert "iniconfig/__init__.py" in told.out
    assert file.read_bytes() != good
    mended = alone("doctor", "--verify", "--json")
    assert (mended.code, mended.document["verified"]["sound"]) == (0, True)
    assert len(mended.document["verified"]["rebuilt"]) == 1
    assert file.read_bytes() == good
    sound = alone("doctor", "--verify", "--json").document["verified"]
    assert (sound["damage"], sound["counts"]["wheels"], sound["counts"]["bundles"]) == ([], 1, 1)
    assert alone(*call).code == 0


def test_a_dry_run_of_nothing_is_a_usage_error(alone: Cli) -> None:
    assert alone("doctor", "--dry-run").code == 2
