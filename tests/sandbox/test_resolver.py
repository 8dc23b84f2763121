"""Declared packages become a hashed lock of everything they need, or a plain reason why not."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from pydantic import SecretStr
from skillyard.sandbox.errors import ResolveError, ResolverUnavailableError
from skillyard.sandbox.resolvers.uv import create_resolver
from skillyard.settings import Settings
from skillyard.skills.errors import RequirementError
from skillyard.skills.lock import Lock, Target
from skillyard.skills.pylock import render_tree, write_pylock
from skillyard.skills.skill import DeclaredPackage, Ecosystem, Origin

TARGET = Target("3.11", "x86_64-manylinux_2_28")


def declare(*requirements: str) -> tuple[DeclaredPackage, ...]:
    """Each requirement as if on its own line of a requirements file."""
    names = [
        canonicalize_name(text.split("[")[0].split("=")[0].split("<")[0].split(">")[0].split(";")[0].split(" ")[0])
        for text in requirements
    ]
    return tuple(
        DeclaredPackage(Ecosystem.PYPI, name, text, Origin("requirements.txt", line, None))
        for line, (name, text) in enumerate(zip(names, requirements, strict=True), start=1)
    )


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The index that uv uses by default, with one cache for all tests."""
    return Settings(home=tmp_path_factory.mktemp("resolver-home"))


async def resolve(settings: Settings, *requirements: str) -> Lock:
    return await create_resolver(settings).resolve(declare(*requirements), TARGET)


async def test_the_closure_says_who_asked_for_whom(public: Settings) -> None:
    lock = await resolve(public, "jinja2==3.1.2", "markupsafe<3", "six")
    found = {package.name: package for package in lock.packages}
    assert set(found) == {"jinja2", "markupsafe", "six"}
    assert (found["jinja2"].version, found["jinja2"].direct, found["jinja2"].required_by) == ("3.1.2", True, ())
    assert (found["markupsafe"].direct, found["markupsafe"].required_by) == (True, ("jinja2",))
    assert render_tree(lock).startswith("jinja2 3.1.2\n└── markupsafe 2.")


async def test_a_transitive_package_is_not_called_direct(public: Settings) -> None:
    lock = await resolve(public, "python-dateutil==2.9.0.post0")
    assert [(package.name, package.direct) for package in lock.packages] == [("python-dateutil", True), ("six", False)]


async def test_compiled_packages_are_locked_for_the_target_and_not_for_this_machine(public: Settings) -> None:
    lock = await resolve(public, "markupsafe==2.1.5")
    names = [artefact.filename for package in lock.packages for artefact in package.artefacts]
    assert names == ["MarkupSafe-2.1.5-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"]
    arm = await create_resolver(public).resolve(declare("markupsafe==2.1.5"), Target("3.11", "aarch64-manylinux_2_28"))
    assert arm.digest != lock.digest
    assert all("aarch64" in artefact.filename for artefact in arm.packages[0].artefacts)


async def test_markers_are_evaluated_for_the_target(public: Settings) -> None:
    lock = await resolve(public, 'six; sys_platform == "win32"', 'idna; python_version < "3.12"')
    assert [package.name for package in lock.packages] == ["idna"]
    assert (await resolve(public, 'six; python_version < "3"')).packages == ()


async def test_extras_bring_their_packages(public: Settings) -> None:
    lock = await resolve(public, "requests[socks]==2.32.3")
    found = {package.name: package.required_by for package in lock.packages}
    assert found["pysocks"] == ("requests",)


async def test_nothing_declared_asks_nobody() -> None:
    settings = Settings(index_url=SecretStr("http://127.0.0.1:9/simple"))
    lock = await create_resolver(settings).resolve((), TARGET)
    assert lock.packages == ()


@pytest.mark.parametrize(
    ("requirements", "says"),
    [
        (
            ("no-such-package-of-anyone-1",),
            r"requirements\.txt:1: no-such-package-of-anyone-1 is not on the package index",
        ),
        (("six==99",), r"the package index has no version six==99"),
        (("docopt==0.6.2",), r"docopt exists only as source"),
        (("tensorflow==1.15.0",), r"tensorflow has no wheel for Python 3\.11"),
        (("jinja2==3.1.2", "markupsafe<2"), r"the declared packages contradict each other.*markupsafe"),
        (("six==1.15.0", "six==1.16.0"), r"contradict"),
    ],
)
async def test_what_cannot_be_solved_is_said_plainly(
    public: Settings, requirements: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ResolveError, match=says):
        await resolve(public, *requirements)


@pytest.mark.parametrize(
    "requirement",
    [
        "six @ https://example.org/six-1.16.0-py2.py3-none-any.whl",
        "six @ git+https://example.org/six",
        "six @ file:///tmp/six.whl",
        "six\n--index-url https://example.org/simple",
        "six --index-url https://example.org/simple",
        "six --hash=md5:00",
        "-r other.txt",
        "./six",
        "six==",
        "idna",
    ],
)
async def test_a_requirement_that_reaches_outside_the_index_is_refused(requirement: str, tmp_path: Path) -> None:
    """The index answers nothing here, so a requirement that got as far as uv would fail otherwise."""
    settings = Settings(home=tmp_path, index_url=SecretStr("http://127.0.0.1:9/simple"))
    declared = (DeclaredPackage(Ecosystem.PYPI, "six", requirement, Origin("SKILL.md", 7, "packages")),)
    with pytest.raises(RequirementError) as caught:
        await create_resolver(settings).resolve(declared, TARGET)
    assert (caught.value.file, caught.value.line, caught.value.field) == ("SKILL.md", 7, "packages")


async def test_npm_packages_do_not_become_python_packages(tmp_path: Path) -> None:
    declared = (DeclaredPackage(Ecosystem.NPM, "six", "six", Origin("package.json", None, None)),)
    with pytest.raises(RequirementError, match="not a Python package"):
        await create_resolver(Settings(home=tmp_path)).resolve(declared, TARGET)


async def test_a_given_hash_is_honoured(public: Settings) -> None:
    right = "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"
    lock = await resolve(public, f"six==1.16.0 --hash=sha256:{right} --hash=sha256:{'0' * 64}")
    assert [artefact.sha256 for artefact in lock.packages[0].artefacts] == [right]
    with pytest.raises(ResolveError, match=r"requirements\.txt:1: no wheel of six 1\.16\.0 matches the hashes"):
        await resolve(public, f"six==1.16.0 --hash=sha256:{'0' * 64}")


@pytest.fixture
def index_that_hangs_up() -> str:
    """An address where nothing listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://some-user:pass%40word@127.0.0.1:{port}/private/simple"


async def test_an_index_that_is_down_is_not_called_a_conflict(index_that_hangs_up: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, index_url=SecretStr(index_that_hangs_up))
    with pytest.raises(ResolverUnavailableError) as caught:
        await resolve(settings, "six")
    for secret in ("some-user", "pass%40word", "pass@word", "127.0.0.1", "private/simple"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_an_index_that_lets_nobody_in_is_not_called_a_conflict(
    settings: Settings, wheelhouse, status: int
) -> None:
    wheelhouse.add("alpha", "1.0", {"alpha.py": b""})
    wheelhouse.status = status
    with pytest.raises(ResolverUnavailableError) as caught:
        await resolve(settings, "alpha")
    assert "127.0.0.1" not in str(caught.value)


async def test_an_index_that_does_not_answer_in_time_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/simple"
        settings = Settings(home=tmp_path, index_url=SecretStr(url), index_timeout=0.5)
        with pytest.raises(ResolverUnavailableError, match=r"did not end within 0\.5 s"):
            await resolve(settings, "six")


async def test_a_cancelled_resolution_ends_uv(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = Settings(home=tmp_path, index_url=SecretStr(f"http://127.0.0.1:{mute.getsockname()[1]}/simple"))
        task = asyncio.create_task(resolve(settings, "six"))
        connection, _ = await asyncio.to_thread(mute.accept)  # uv asks, so it runs
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(_read_to_end, connection)


def _read_to_end(connection: socket.socket) -> bool:
    """True once the other side is gone; a living one would keep this waiting."""
    with connection:
        while connection.recv(4096):
            pass
    return True


async def test_a_private_index_is_asked_and_never_named_in_the_lock(settings: Settings, wheelhouse) -> None:
    package = wheelhouse.add("alpha", "1.0", {"alpha.py": b"x = 1\n"})
    lock = await resolve(settings, "alpha")
    assert [artefact.sha256 for artefact in lock.packages[0].artefacts] == [package.artefacts[0].sha256]
    assert "127.0.0.1" not in write_pylock(lock)


async def test_the_same_wheels_through_another_mirror_give_the_same_lock(
    settings: Settings, wheelhouse, tmp_path: Path
) -> None:
    wheelhouse.add("alpha", "1.0", {"alpha.py": b"x = 1\n"})
    other = type(wheelhouse)()
    try:
        other.wheels = wheelhouse.wheels
        mirror = Settings(home=tmp_path / "other", index_url=SecretStr(other.url))
        assert (await resolve(settings, "alpha")).digest == (await resolve(mirror, "alpha")).digest
    finally:
        other.close()


async def test_a_package_of_an_extra_index_is_found(settings: Settings, wheelhouse) -> None:
    wheelhouse.add("alpha", "1.0", {"alpha.py": b""})
    other = type(wheelhouse)()
    try:
        other.add("beta", "1.0", {"beta.py": b""})
        both = settings.model_copy(update={"extra_index_urls": (SecretStr(other.url),)})
        lock = await resolve(both, "alpha", "beta")
        assert [package.name for package in lock.packages] == ["alpha", "beta"]
    finally:
        other.close()


async def test_configuration_lying_about_does_not_redirect_the_index(
    settings: Settings, wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ``uv.toml`` in the working directory, or somebody's own, would point uv elsewhere."""
    wheelhouse.add("alpha", "1.0", {"alpha.py": b""})
    text = 'index-url = "http://127.0.0.1:9/simple"\n'
    (tmp_path / "uv.toml").write_text(text)
    (tmp_path / "config" / "uv").mkdir(parents=True)
    (tmp_path / "config" / "uv" / "uv.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    assert [package.name for package in (await resolve(settings, "alpha")).packages] == ["alpha"]


async def test_a_release_younger_than_the_minimum_age_is_ignored(tmp_path: Path) -> None:
    age = 365.25 * 5
    young = Settings(home=tmp_path, minimum_release_age_days=age)
    with pytest.raises(ResolveError):
        await resolve(young, "jinja2>=3.1.5")  # released in December 2024
    assert (await resolve(young, "six==1.16.0")).packages[0].version == "1.16.0"


async def test_no_temporary_files_stay(public: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await resolve(public, "six")
    assert list(tmp_path.iterdir()) == []
