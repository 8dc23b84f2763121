"""Whatever ``scan PATH`` is given becomes something to scan; what could not be had is said, and never left out."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from skillyard.errors import MachineError
from skillyard.governance.report import EvidenceState
from skillyard.runtime.subject import Subject, subject
from skillyard.sandbox.images import base_target
from skillyard.skills.errors import SourceSpecError
from skillyard.skills.lock import Lock, LockedPackage
from skillyard.skills.skill import Ecosystem, Skill

MANIFEST = "---\nname: demo\ndescription: A skill.\n---\nRead it.\n"
HASH = "a" * 64
SIX = LockedPackage("six", "1.17.0", (), (), direct=True)
Resolve = Callable[[Skill], Awaitable[tuple[Lock, ...]]]


class OfflineError(MachineError):
    """What a resolver raises without a network."""


async def offline(skill: Skill) -> tuple[Lock, ...]:
    raise OfflineError(f"the index cannot be reached for {skill.name}")


async def online(skill: Skill) -> tuple[Lock, ...]:
    assert skill.declared
    return (Lock(Ecosystem.PYPI, base_target(), (SIX,)),)


async def made(path: Path, tmp_path: Path, resolve: Resolve = online) -> Subject:
    """The subject, and the names of the files that are scanned as its ``notes`` would be lost afterwards."""
    home = tmp_path / "home"
    async with subject(str(path), home=home, environment={}, target=base_target(), resolve=resolve) as found:
        assert found.folder.is_dir()
    if found.folder.is_relative_to(home):
        assert not found.folder.exists(), "nothing that was staged stays"
    return found


def gaps(found: Subject) -> dict[str, str]:
    assert all(one.state is EvidenceState.FAILED for one in found.gaps)
    return {one.scanner: one.reason or "" for one in found.gaps}


def files(found: Subject) -> list[str]:
    return [file.path for file in found.skill.bundle.files]


def folder_of(tmp_path: Path, **content: str) -> Path:
    folder = tmp_path / "given"
    for name, text in content.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def zipped(tmp_path: Path, **content: str) -> Path:
    archive = tmp_path / "given.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in content.items():
            file.writestr(name.replace("__", "/"), text)
    return archive


async def test_a_skill_is_read_as_one(tmp_path: Path) -> None:
    found = await made(folder_of(tmp_path, **{"SKILL.md": MANIFEST, "requirements.txt": "six"}), tmp_path)
    assert (found.skill.name, found.skill.version != "", found.gaps) == ("demo", True, ())
    assert [one.packages for one in found.locks] == [(SIX,)]


async def test_a_folder_without_a_manifest_is_scanned_as_plain_files_with_its_packages(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"run.py": "import six\n", "requirements.txt": "six>=1\n"})
    found = await made(given, tmp_path)
    assert (found.skill.name, found.skill.version, found.gaps) == ("given", "", ())
    assert files(found) == ["requirements.txt", "run.py"]
    assert [one.packages for one in found.locks] == [(SIX,)]


async def test_a_skill_that_does_not_parse_is_still_scanned(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"SKILL.md": "---\nname: [\n---\n", "run.py": "x\n", "requirements.txt": "six\n"})
    found = await made(given, tmp_path)
    assert gaps(found).keys() == {"skill"}
    assert "SKILL.md" in gaps(found)["skill"]
    assert files(found) == ["SKILL.md", "requirements.txt", "run.py"]
    assert found.locks


async def test_packages_that_cannot_be_resolved_leave_a_gap_and_the_rest_is_scanned(tmp_path: Path) -> None:
    found = await made(folder_of(tmp_path, **{"SKILL.md": MANIFEST, "requirements.txt": "six"}), tmp_path, offline)
    assert gaps(found) == {"packages": "the index cannot be reached for demo"}
    assert (found.locks, files(found)) == ((), ["SKILL.md", "requirements.txt"])


async def test_a_requirement_that_is_refused_is_a_gap(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"requirements.txt": "six\n--extra-index-url https://elsewhere/simple\n"})
    assert "requirements.txt:2" in gaps(await made(given, tmp_path))["packages"]
    assert "requirements.txt:2" in gaps(await made(given / "requirements.txt", tmp_path))["packages"]


async def test_a_folder_that_holds_skills_says_that_it_did_not_read_them(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"one__SKILL.md": MANIFEST, "two__SKILL.md": MANIFEST})
    assert "one/SKILL.md, two/SKILL.md" in gaps(await made(given, tmp_path))["skill"]


async def test_what_no_bundle_holds_is_scanned_where_it_lies(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"SKILL.md": MANIFEST})
    (given / "big.bin").write_bytes(bytes(11 * 1024 * 1024))
    found = await made(given, tmp_path)
    assert "larger than 10 MiB" in gaps(found)["files"]
    assert found.folder == given
    (given / "big.bin").unlink()
    (given / "link").symlink_to("/etc/passwd")
    assert "link" in gaps(await made(given, tmp_path))["files"]


@pytest.mark.parametrize("content", [b"PK\x03\x04 and nothing more", b"", b"\x1f\x8bbroken"])
async def test_an_archive_that_cannot_be_unpacked_is_a_gap(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "given.zip"
    given.write_bytes(content)
    found = await made(given, tmp_path)
    assert gaps(found).keys() == {"files"}
    assert files(found) == ["given.zip"]


async def test_an_archive_with_a_password_is_a_gap(tmp_path: Path) -> None:
    given = zipped(tmp_path, **{"SKILL.md": MANIFEST})
    data = bytearray(given.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    given.write_bytes(bytes(data))
    assert "is encrypted" in gaps(await made(given, tmp_path))["files"]


async def test_archives_with_and_without_a_skill(tmp_path: Path) -> None:
    found = await made(zipped(tmp_path, **{"demo__SKILL.md": MANIFEST, "demo__a.txt": "a"}), tmp_path)
    assert (found.skill.name, files(found)) == ("demo", ["SKILL.md", "a.txt"])
    found = await made(zipped(tmp_path, **{"a.txt": "a", "b__c.txt": "c"}), tmp_path)
    assert (found.skill.version, files(found), found.gaps) == ("", ["a.txt", "b/c.txt"], ())


async def test_pins_with_hashes_are_the_whole_closure_and_need_no_index(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"requirements.txt": f"six==1.17.0 --hash=sha256:{HASH}\n"})
    found = await made(given / "requirements.txt", tmp_path, offline)
    assert ([one.version for one in found.locks[0].packages], found.gaps) == (["1.17.0"], ())


async def test_pins_without_hashes_are_looked_up_offline_and_the_missing_closure_is_said(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"requirements.txt": "six==1.17.0\n"})
    found = await made(given / "requirements.txt", tmp_path, offline)
    assert [one.version for one in found.locks[0].packages] == ["1.17.0"]
    assert gaps(found).keys() == {"packages"}


async def test_of_a_list_that_pins_in_part_the_pins_are_looked_up_offline(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"requirements.txt": f"six==1.17.0 --hash=sha256:{HASH}\nattrs\n"})
    found = await made(given / "requirements.txt", tmp_path, offline)
    assert [one.name for one in found.locks[0].packages] == ["six"]
    assert gaps(found).keys() == {"packages"}


async def test_requirements_that_pin_nothing_are_resolved_or_a_gap(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"requirements.txt": "six>=1\n"}) / "requirements.txt"
    assert (await made(given, tmp_path)).locks[0].packages == (SIX,)
    found = await made(given, tmp_path, offline)
    assert (found.locks, gaps(found).keys()) == ((), {"packages"})


async def test_a_package_lock_is_a_lock_and_a_broken_one_a_gap(tmp_path: Path) -> None:
    packages = {"": {}, "node_modules/a": {"version": "1.2.0"}}
    given = folder_of(tmp_path, **{"package-lock.json": json.dumps({"lockfileVersion": 3, "packages": packages})})
    found = await made(given / "package-lock.json", tmp_path, offline)
    assert (found.locks[0].ecosystem, found.locks[0].packages[0].name, found.gaps) == (Ecosystem.NPM, "a", ())
    (given / "package-lock.json").write_text("{}")
    found = await made(given / "package-lock.json", tmp_path, offline)
    assert (found.locks, gaps(found).keys()) == ((), {"packages"})


async def test_a_list_that_is_no_text_is_a_gap(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"requirements.txt": ""}) / "requirements.txt"
    given.write_bytes(b"six\xff\xfe\n")
    assert "not UTF-8" in gaps(await made(given, tmp_path))["packages"]


async def test_any_other_file_is_scanned_alone(tmp_path: Path) -> None:
    given = folder_of(tmp_path, **{"run.sh": "echo\n", "other.sh": "echo\n"})
    found = await made(given / "run.sh", tmp_path)
    assert (files(found), found.gaps) == (["run.sh"], ())


async def test_where_nothing_is_nothing_is_scanned(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("gone", "pipe"):
        with pytest.raises(SourceSpecError):
            await made(tmp_path / name, tmp_path)
