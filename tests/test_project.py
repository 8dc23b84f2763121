"""The house itself: what README and docs say is there is there, and what is committed agrees with its source."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import skillyard
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from skillyard.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MAX_MODULE_LINES = 450


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


def committed_files() -> list[Path]:
    """Every file that is in the repository or would be with the next ``git add``."""
    listed = output("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


# --- README and docs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_make_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    in_code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^make .*$", text, re.MULTILINE)
    named = {found for code in in_code for found in re.findall(r"\bmake ([a-z][a-z-]*)", code)}
    assert named <= make_targets()


def test_make_alone_explains_every_command() -> None:
    shown = output("make")
    hidden = {"python", "testing"}  # parts of other commands
    for target in make_targets() - hidden:
        assert re.search(rf"^  {target} +[A-Z]", shown, re.MULTILINE), f"`make` does not explain {target}"


@functools.cache
def commands() -> str:
    return output(str(ROOT / ".venv/bin/skillyard"), "--help")


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?:`|^\$? ?)skillyard ([a-z]+)", page.read_text(), re.MULTILINE))
    assert {name for name in named if not re.search(rf"\b{name}\b", commands())} == set()


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs/index.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)", index.read_text())}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page != index}
    assert names(sorted(pages - linked)) == []


def test_every_part_is_in_the_map_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    parts = {path.parent.name for path in (ROOT / "skillyard").glob("*/__init__.py")} - {"migrations"}
    assert {part for part in parts if f"`skillyard/{part}/`" not in readme} == set()


# --- settings ---------------------------------------------------------------------------------------------------------


def reference_writer() -> ModuleType:
    path = ROOT / "scripts/write_settings_reference.py"
    spec = importlib.util.spec_from_file_location("write_settings_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_is_documented_as_it_is() -> None:
    writer = reference_writer()
    assert (ROOT / "docs/reference/settings.md").read_text() == writer.page(), "run `make reference`"
    assert (ROOT / ".env.example").read_text() == writer.example(), "run `make reference`"


def test_every_setting_says_what_it_means() -> None:
    fields = Settings.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


# --- packaging --------------------------------------------------------------------------------------------------------


def locked() -> dict[str, Version]:
    pins = re.findall(r"^([a-z0-9][a-z0-9-]*)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return {name: Version(version) for name, version in pins}


def test_the_lock_has_every_declared_package_at_a_version_that_fits() -> None:
    declared = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
    pins = locked()
    for requirement in map(Requirement, declared):
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement} is not locked: run `make lock`"
        assert pinned in requirement.specifier, f"{requirement} is locked at {pinned}: run `make lock`"


def test_the_lock_hashes_everything_and_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_build_backend_that_set_up_uses_is_locked() -> None:
    for requirement in map(Requirement, PYPROJECT["build-system"]["requires"]):
        assert locked()[canonicalize_name(requirement.name)] in requirement.specifier


def test_package_and_project_have_one_version() -> None:
    assert skillyard.__version__ == PYPROJECT["project"]["version"]


def test_the_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    """Data files too: an installed Skillyard without its migrations, guest or advisories would fail at first use."""
    output(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    package = {str(path.relative_to(ROOT)) for path in committed_files() if path.is_relative_to(ROOT / "skillyard")}
    assert package - packed == set()


@pytest.mark.parametrize(
    ("group", "target"),
    [(group, target) for group, found in PYPROJECT["project"]["entry-points"].items() for target in found.values()],
)
def test_every_implementation_that_we_register_exists(group: str, target: str) -> None:
    module, _, factory = target.partition(":")
    assert callable(getattr(import_module(module), factory)), group


def test_the_licence_is_the_verbatim_apache_2_0() -> None:
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


# --- rules of the house -----------------------------------------------------------------------------------------------


def test_no_module_outgrows_what_can_be_read_at_once() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ROOT.glob("skillyard/**/*.py")}
    assert {name: size for name, size in sizes.items() if size > MAX_MODULE_LINES} == {}


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_nothing_is_tested_or_run_against_a_mock() -> None:
    sources = [path for folder in ("skillyard", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    mocking = [path for path in sources if {"unittest.mock", "mock", "pytest_mock"} & imported_modules(path)]
    assert names(mocking) == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    """Where packages come from is the machine's configuration; a name in a file would bypass a mirror."""
    hosts = [
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("registry-1", "docker", "io"),
    ]
    pattern = re.compile("|".join(re.escape(".".join(host)) for host in hosts).encode())
    assert names([path for path in committed_files() if pattern.search(path.read_bytes())]) == []


@pytest.mark.parametrize("script", ["scripts/setup", "scripts/lock", ".ci/run"])
def test_a_script_can_be_run_from_a_clone(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111, f"{script} is not executable"
    output("bash", "-n", script)
