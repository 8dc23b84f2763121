"""Bad input: one clear line with file, line and field where there is one, the right exit code, nothing left behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import NO_ENGINE, Cli, skill

Maker = Callable[[Path], Path]


def manifest(text: str | bytes) -> Maker:
    def make(parent: Path) -> Path:
        folder = skill(parent)
        (folder / "SKILL.md").write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return make


def with_file(path: str, content: str | bytes) -> Maker:
    def make(parent: Path) -> Path:
        folder = skill(parent)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return make


def with_link(target: str) -> Maker:
    def make(parent: Path) -> Path:
        folder = skill(parent)
        (folder / "link").symlink_to(target)
        return folder

    return make


def with_pipe(parent: Path) -> Path:
    folder = skill(parent)
    os.mkfifo(folder / "pipe")
    return folder


def without_manifest(parent: Path) -> Path:
    folder = skill(parent)
    (folder / "SKILL.md").unlink()
    return folder


def too_large(parent: Path) -> Path:
    folder = skill(parent)
    for number in range(17):
        (folder / f"{number}.bin").write_bytes(b"\0" * 2**20)
    return folder


def too_many(parent: Path) -> Path:
    folder = skill(parent)
    for number in range(512):
        (folder / f"{number}.txt").touch()
    return folder


def zipped(*members: tuple[str, bytes]) -> Maker:
    def make(parent: Path) -> Path:
        with zipfile.ZipFile(parent / "skill.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("adder/SKILL.md", "---\nname: adder\ndescription: d\n---\n")
            for name, content in members:
                archive.writestr(name, content)
        return parent / "skill.zip"

    return make


def tar_of_a_device(parent: Path) -> Path:
    with tarfile.open(parent / "skill.tar", "w") as archive:
        text = b"---\nname: adder\ndescription: d\n---\n"
        member = tarfile.TarInfo("adder/SKILL.md")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
        device = tarfile.TarInfo("adder/null")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
    return parent / "skill.tar"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b]\n"
HEAD = "---\nname: adder\ndescription: d\n"

VALIDATED: dict[str, tuple[Maker, str, str]] = {
    "no manifest": (without_manifest, r"SKILL.md", "invalid_skill"),
    "binary manifest": (manifest(b"\x7fELF\x00\xff\xfe"), "SKILL.md", "invalid_skill"),
    "broken YAML": (manifest("---\nname: [adder\n---\n"), "SKILL.md:", "invalid_skill"),
    "anchors": (manifest(f"{HEAD}{BOMB}---\n"), "SKILL.md:4", "invalid_skill"),
    "duplicate keys": (manifest(f"{HEAD}name: other\n---\n"), "SKILL.md:4", "invalid_skill"),
    "17 MiB": (too_large, "16 MiB", "bundle_too_large"),
    "513 files": (too_many, "512 files", "bundle_too_large"),
    "an absolute link": (with_link("/etc/passwd"), "link", "unsafe_path"),
    "an escaping link": (with_link("../outside"), "link", "unsafe_path"),
    "a pipe": (with_pipe, "pipe", "unsafe_path"),
    "a path that climbs": (zipped(("../evil", b"x")), "evil", "unsafe_path"),
    "an absolute path": (zipped(("/tmp/evil", b"x")), "evil", "unsafe_path"),
    "a zip bomb": (zipped(("adder/bomb", b"\0" * (40 * 2**20))), "MiB", "bundle_too_large"),
    "a device": (tar_of_a_device, "null", "unsafe_path"),
    "an address": (
        with_file("requirements.txt", "six @ https://example.org/six.whl\n"),
        "requirements.txt:1",
        "invalid_requirement",
    ),
    "another index": (
        with_file("requirements.txt", "six\n--index-url https://example.org/\n"),
        "requirements.txt:2",
        "invalid_requirement",
    ),
}


@pytest.mark.parametrize("case", VALIDATED)
def test_a_skill_that_is_refused_names_file_and_place(cli: Cli, tmp_path: Path, case: str) -> None:
    make, place, code = VALIDATED[case]
    refused = cli("validate", make(tmp_path), "--json")
    assert refused.code == 1, refused.err
    assert refused.document["code"] == code
    assert place in refused.document["detail"]
    assert refused.err == ""
    assert list((cli.home / "staging").iterdir()) == []


def test_an_error_is_one_line_for_people(cli: Cli, tmp_path: Path) -> None:
    refused = cli("validate", manifest(f"{HEAD}name: other\n---\n")(tmp_path))
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: SKILL.md:4: name: ")
    assert refused.err.count("\n") == 1


def test_a_name_that_is_not_canonical_is_refused_strictly(cli: Cli, tmp_path: Path) -> None:
    folder = manifest("---\nname: Adder\ndescription: d\n---\n")(tmp_path)
    refused = cli("validate", folder, "--strict", "--json")
    assert refused.code == 1
    assert (refused.document["file"], refused.document["line"], refused.document["field"]) == ("SKILL.md", 2, "name")


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("iniconfig==99.0", "iniconfig"),
        ("this-package-does-not-exist-anywhere-1f3a", "1f3a"),
        ("python-dateutil==2.9.0.post0 six<1", "six"),
        ("tensorflow==1.15.0", "no wheel"),
        ("docopt==0.6.2", "only as source"),
    ],
)
def test_packages_without_a_solution_are_named(cli: Cli, tmp_path: Path, requirement: str, said: str) -> None:
    refused = cli("lock", skill(tmp_path, python=requirement), "--json")
    assert (refused.code, refused.document["code"]) == (1, "unresolvable")
    assert said in refused.document["detail"]


def test_a_hash_that_no_file_has_is_refused(cli: Cli, tmp_path: Path) -> None:
    folder = with_file("requirements.txt", f"iniconfig==2.1.0 --hash=sha256:{'0' * 64}\n")(tmp_path)
    refused = cli("lock", folder)
    assert refused.code == 1
    assert "requirements.txt:1" in refused.err


def test_nothing_is_half_installed_when_the_engine_is_down(cli: Cli, tmp_path: Path) -> None:
    refused = cli("run", skill(tmp_path), "--input", '{"x": 1}', "--json", docker_host=NO_ENGINE)
    assert (refused.code, refused.document["code"]) == (5, "engine_unavailable")
    after = cli("run", tmp_path / "adder", "--input", '{"x": 1}', "--json")
    assert (after.code, after.document["outcome"]["result"]) == (0, 2)


def test_a_full_disk_is_said_and_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    """A file system of its own with room for little, in a mount namespace that ends with the command."""
    folder = with_file("assets/large.bin", b"x" * (3 * 2**20))(tmp_path)
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=2m none "$PLACE" && "$@"; code=$?; ls -A "$PLACE/staging"; exit $code'
    unshare = shutil.which("unshare")
    assert unshare is not None
    done = subprocess.run(
        [unshare, "--mount", "--map-root-user", "sh", "-c", script, "sh", *cli.command("validate", folder)],
        env={**cli.environment(home=str(small)), "PLACE": str(small)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


USAGE = {
    "no path": ("validate",),
    "no such path": ("validate", "nowhere"),
    "no such command": ("frobnicate",),
    "no such option": ("scan", ".", "--frobnicate"),
    "input that is not JSON": ("run", "{skill}", "--input", '{"x": 1'),
    "input that is no object": ("run", "{skill}", "--input", "[1]"),
    "input from no file": ("run", "{skill}", "--input", "@nowhere.json"),
    "a file that is not there": ("run", "{skill}", "--input", '{"x": 1}', "--file", "a=nowhere"),
    "no server": ("list",),
    "an address that is none": ("list", "--server", "skills.example.org"),
    "a token in the clear": ("list", "--server", "http://skills.example.org"),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_wrong_command_line_is_exit_code_2_and_one_document(cli: Cli, tmp_path: Path, case: str) -> None:
    folder = skill(tmp_path)
    arguments = [str(folder) if item == "{skill}" else item for item in USAGE[case]]
    wrong = cli(*arguments, "--json")
    assert wrong.code == 2, wrong.err
    assert set(wrong.document) >= {"detail", "code"}
    assert "Traceback" not in wrong.err


def test_where_the_json_is_wrong_is_said(cli: Cli, tmp_path: Path) -> None:
    (cli.folder / "input.json").write_text('{\n  "x": 1,\n}\n')
    wrong = cli("run", skill(tmp_path), "--input", "@input.json")
    assert wrong.code == 2
    assert wrong.err.startswith("error: input.json:3: --input: is not JSON")


def test_a_setting_that_is_wrong_is_named(cli: Cli) -> None:
    wrong = cli("doctor", port="eighty")
    assert (wrong.code, wrong.err.startswith("error: SKILLYARD_PORT: ")) == (2, True)


def test_json_goes_through_unchanged(cli: Cli, tmp_path: Path) -> None:
    """A document is one line of UTF-8 that any JSON reader reads, whatever a skill returns."""
    text = "ä\u2028\x1b[31m\x00\n"
    folder = skill(tmp_path, files={"scripts/main.py": "def run(text: str) -> str:\n    return text\n"})
    returned = cli("run", folder, "--input", "-", "--json", stdin=json.dumps({"text": text}))
    assert returned.document["outcome"]["result"] == text
