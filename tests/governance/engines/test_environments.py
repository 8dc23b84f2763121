"""Engines' environments are made whole from the lock, beside Skillyard, and not found under another lock."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from skillyard.governance.engines import environments
from skillyard.governance.engines.environments import (
    LOCKS,
    EngineInstallError,
    engine_environment,
    engines_folder,
    install_engine,
)
from skillyard.governance.engines.names import ENGINES, INSTALLED_BY_US
from skillyard.sandbox.index import PackageIndex
from skillyard.settings import Settings
from skillyard.subprocesses.tools import run_tool


def settings(folder: Path) -> Settings:
    return Settings(engines_folder=folder / "engines")


def test_every_engine_has_a_lock_with_hashes_and_without_addresses() -> None:
    assert {path.stem for path in LOCKS.iterdir()} == INSTALLED_BY_US
    for path in LOCKS.iterdir():
        text = path.read_text()
        assert text.count("--hash=sha256:") >= text.count("==")
        assert "://" not in text


def test_the_settings_know_every_engine_and_no_other() -> None:
    assert set(Settings(engines=tuple(sorted(ENGINES))).engines) == ENGINES
    with pytest.raises(ValueError, match="no snyk"):
        Settings(engines=("snyk",))


def test_the_default_folder_goes_with_the_installation() -> None:
    assert engines_folder(Settings()).is_relative_to(sys.prefix)


async def test_an_engine_is_installed_from_its_lock_and_earlier_ones_are_removed(tmp_path: Path) -> None:
    index = PackageIndex.from_settings(settings(tmp_path)).environment
    earlier = tmp_path / "engines" / "pip-audit-0000000000000000"
    other = tmp_path / "engines" / "safety-0000000000000000"
    for folder in (earlier, other):
        folder.mkdir(parents=True)
    assert not engine_environment(settings(tmp_path), "pip-audit").is_there
    made = await install_engine(settings(tmp_path), "pip-audit", index=index)
    assert made == engine_environment(settings(tmp_path), "pip-audit")
    asking = [str(made.python), "-I", "-m", "pip_audit", "--version"]
    said = await run_tool(asking, environment={"PATH": "/usr/bin:/bin"}, cwd=tmp_path, timeout=60)
    assert said.stdout.strip() == f"pip-audit {made.version}"
    assert sorted((tmp_path / "engines").iterdir()) == sorted([made.folder, other])
    made_at = made.folder.stat().st_mtime_ns
    await install_engine(settings(tmp_path), "pip-audit", index=index)
    assert made.folder.stat().st_mtime_ns == made_at


async def test_what_cannot_be_fetched_leaves_nothing_behind(tmp_path: Path) -> None:
    index = {"PATH": "/usr/bin:/bin", "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    index |= {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_NO_CONFIG": "1"}
    with pytest.raises(EngineInstallError):
        await install_engine(settings(tmp_path), "pip-audit", index=index)
    assert list((tmp_path / "engines").iterdir()) == []


async def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "pip-audit.txt").write_text(f"pip-audit==2.10.1 \\\n    --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(environments, "LOCKS", locks)
    environments._lock.cache_clear()
    try:
        index = PackageIndex.from_settings(settings(tmp_path)).environment
        with pytest.raises(EngineInstallError, match=r"(?i)hash"):
            await install_engine(settings(tmp_path), "pip-audit", index=index)
    finally:
        environments._lock.cache_clear()
    assert list((tmp_path / "engines").iterdir()) == []


async def test_a_folder_that_cannot_be_written_says_which_setting_helps(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file")
    with pytest.raises(EngineInstallError, match="SKILLYARD_ENGINES_FOLDER"):
        await install_engine(settings(tmp_path), "pip-audit", index={})
