"""Plug-ins of third parties, built as real wheels and installed by uv into a folder that a real process imports."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uv

ASSETS = Path(__file__).parent / "assets" / "plugins"

REPORT = """
import dataclasses, json, sys
import structlog
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from skillyard.governance.scanner import Scanner
from skillyard.plugins import Group, all_plugins, discover
from skillyard.settings import Settings

settings = Settings(home=sys.argv[1])
found = discover(Group.SCANNERS, Scanner, settings)
json.dump({
    "loaded": {p.name: [p.distribution, p.version, type(p.instance).__name__] for p in found.loaded},
    "failed": [[p.name, p.distribution, p.version, p.reason] for p in found.failed],
    "doctor": [[s.group, s.name, s.distribution, s.version, s.state, s.reason]
               for s in all_plugins(settings, {Group.SCANNERS: Scanner})],
}, sys.stdout)
"""


def build_wheel(source: Path, version: str, into: Path) -> Path:
    """A wheel of ``source``'s modules, written by hand (PEP 427), so that no build tool or index is needed."""
    name = source.name.replace("_", "-")
    info = f"{source.name}-{version}.dist-info"
    files = {path.name: path.read_bytes() for path in sorted(source.glob("*.py"))}
    files[f"{info}/entry_points.txt"] = (source / "entry_points.txt").read_bytes()
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in files.items())
    wheel = into / f"{source.name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def discovered(tmp_path: Path, *plugins: str, before: Path | None = None) -> tuple[dict, str]:
    """Install the named plug-ins and let a new process discover them: its JSON answer and its standard error.

    ``before`` is a folder that comes before them on ``sys.path``."""
    target = tmp_path / "site"
    wheels = [str(build_wheel(ASSETS / name, "1.2.3", tmp_path)) for name in plugins]
    install = [uv.find_uv_bin(), "pip", "install", "--no-config", "--offline", "--no-index", "--no-deps"]
    subprocess.run([*install, "--python", sys.executable, "--target", str(target), *wheels], check=True, timeout=60)
    command = [sys.executable, "-c", REPORT, str(tmp_path / "home")]
    folders = [target] if before is None else [before, target]
    environment = {"PYTHONPATH": ":".join(map(str, folders)), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_an_installed_third_party_scanner_is_used_with_its_name_and_version(tmp_path: Path) -> None:
    answer, stderr = discovered(tmp_path, "acme_scanner")
    assert answer["loaded"]["acme"] == ["acme-scanner", "1.2.3", "AcmeScanner"]
    assert ["skillyard.scanners", "acme", "acme-scanner", "1.2.3", "loaded", None] in answer["doctor"]
    assert "says hello" in stderr, "what a plug-in prints must not end up in a JSON document on standard output"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    return discovered(tmp_path_factory.mktemp("broken"), "acme_broken", "acme_misfits")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("import", "its import failed: ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        ("exit-at-import", "its import failed: SystemExit: acme needs a licence key"),
        ("raises", "its factory failed: ValueError: no acme server in Settings"),
        ("unprintable", "its factory failed: UnprintableError (its message cannot be shown)"),
        ("exits", "its factory failed: SystemExit: 3"),
        ("without-parameter", "its factory failed: TypeError: "),
        ("asynchronous", "acme_broken_factory:asynchronous is async; a factory is a plain function"),
        ("constant", "acme_broken_factory:constant is a int, not a function"),
        ("missing-attribute", "its import failed: AttributeError: "),
        ("bad-reference", "its import failed: "),
        ("no-scan", "it lacks scan(), which Scanner requires"),
        ("no-name", "it lacks name, which Scanner requires"),
        ("number-for-name", "name is a int, not a str"),
        ("not-callable", "scan() is a str, which cannot be called"),
        ("synchronous", "scan() must be async"),
        (
            "other-parameter-name",
            "scan() has other parameters: missing a required argument: 'skill'",
        ),
        (
            "missing-parameter",
            "scan() has other parameters: got an unexpected keyword argument 'now'",
        ),
        ("extra-required", "scan() has other parameters: missing a required argument: 'depth'"),
        ("raising-name", "reading name raises RuntimeError"),
        ("the-class", "it is the class Flexible, not an instance of one"),
        ("nothing", "it lacks name, which Scanner requires; it lacks scan(), which Scanner requires"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_reported_with_name_and_reason(
    broken: tuple[dict, str], name: str, why: str
) -> None:
    answer, stderr = broken
    (found,) = [failed for failed in answer["failed"] if failed[0] == name]
    assert why in found[3]
    assert found[1:3] == ["acme-broken" if not found[3].startswith("it ") else "acme-misfits", "1.2.3"]
    assert f"plugin={name}" in stderr, "an operator who reads the log alone must see it"
    (line,) = [line for line in answer["doctor"] if line[1] == name]
    assert line[4:] == ["failed", found[3]]


def test_one_bad_plug_in_does_not_take_a_good_one_down(broken: tuple[dict, str]) -> None:
    answer, _ = broken
    assert answer["loaded"]["flexible"] == ["acme-misfits", "1.2.3", "Flexible"]


def test_a_third_party_cannot_replace_what_another_registered(tmp_path: Path) -> None:
    answer, _ = discovered(tmp_path, "acme_scanner", "acme_rivals")
    refused = {(name, distribution): reason for name, distribution, _, reason in answer["failed"]}
    assert "registered more than once" in refused["advisories", "acme-rivals"]
    assert "registered more than once" in refused["acme", "acme-rivals"]
    assert "registered more than once" in refused["acme", "acme-scanner"], "path order must not choose a scanner"
    assert "more than once" not in refused.get(("advisories", "skillyard"), ""), "our own must not be displaced"
    assert "acme" not in answer["loaded"]


def test_a_distribution_that_another_of_its_name_hides_offers_nothing(tmp_path: Path) -> None:
    info = tmp_path / "first" / "Acme_Scanner-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Acme.Scanner\nVersion: 9.9\n")
    answer, _ = discovered(tmp_path, "acme_scanner", before=info.parent)
    assert "acme" not in answer["loaded"], "what is imported under that name is another distribution's"


def test_a_misspelt_group_is_reported_and_not_silently_ignored(tmp_path: Path) -> None:
    answer, _ = discovered(tmp_path, "acme_rivals")
    (line,) = [line for line in answer["doctor"] if line[1] == "misspelt-group"]
    assert line[0] == "skillyard.scanner"
    assert line[4] == "failed"
    assert "no group skillyard.scanner" in line[5]


def test_our_own_implementations_load_the_way_third_parties_do(tmp_path: Path) -> None:
    answer, _ = discovered(tmp_path, "acme_scanner")
    assert "advisories" in answer["loaded"], answer["failed"]
    assert [failed for failed in answer["failed"] if failed[1] == "skillyard"] == []
