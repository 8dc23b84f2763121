"""A repository gets nothing to do on this machine but hand over the files of one commit."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from skillyard.skills.bundle import make_bundle
from skillyard.skills.errors import BundleTooLargeError, SkillError, SourceError, SourceSpecError, UnsafePathError
from skillyard.skills.sources.git import GitSource, check_url

MANIFEST = "---\nname: demo\ndescription: d\n---\n"
ENVIRONMENT = {"PATH": os.environ["PATH"]}


class Repository:
    """A real repository with one skill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.git("init", "--initial-branch=main")
        self.commit({"SKILL.md": MANIFEST, "scripts/run.py": "print(1)\n"})

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def git(self, *arguments: str) -> str:
        settings = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "protocol.file.allow=always")
        command = ["git", *settings, *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True, timeout=60).stdout

    def commit(self, files: dict[str, str | bytes] | None = None) -> str:
        for path, content in (files or {}).items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "demo")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    staging = tmp_path / "staging"
    staging.mkdir()
    return staging


def _source(url: str, **options) -> GitSource:
    return GitSource(url, **{"environment": ENVIRONMENT, "allow_local": True} | options)


async def test_branch_tag_and_commit_are_pinned_to_the_commit_they_stand_for(repository, into):
    first = repository.git("rev-parse", "HEAD").strip()
    repository.git("tag", "--annotate", "v1", "--message", "one")
    repository.git("branch", "feature/one")
    second = repository.commit({"new.txt": "x"})
    expected = {None: second, "main": second, "v1": first, "feature/one": first, first: first}
    for number, (ref, commit) in enumerate(expected.items()):
        staging = into / str(number)
        staging.mkdir()
        fetched = await _source(repository.url, ref=ref).fetch(staging)
        assert fetched.commit == commit
        assert fetched.origin == f"git+{repository.url}@{commit}"
        assert (fetched.folder / "new.txt").exists() == (commit == second)


async def test_a_subfolder_is_fetched_alone_and_other_skills_do_not_matter(repository, into):
    repository.commit({"skills/one/SKILL.md": MANIFEST, "skills/two/SKILL.md": MANIFEST, "big.bin": bytes(11 * 2**20)})
    fetched = await _source(repository.url, subfolder="skills/one/").fetch(into)
    assert fetched.folder.name == "one"
    assert [file.path for file in make_bundle(fetched.folder).files] == ["SKILL.md"]
    assert fetched.origin.endswith(f"@{fetched.commit}#subdirectory=skills/one")


async def test_a_repository_with_several_skills_needs_a_choice(repository, into):
    repository.git("rm", "-r", "--quiet", "SKILL.md", "scripts")
    repository.commit({"skills/one/SKILL.md": MANIFEST, "skills/two/SKILL.md": MANIFEST})
    with pytest.raises(SkillError, match="more than one skill: skills/one, skills/two"):
        await _source(repository.url).fetch(into)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ref": "no-such-branch"}, "no-such-branch"),
        ({"ref": "0" * 40}, "failed"),
        ({"subfolder": "nowhere"}, "failed"),
    ],
)
async def test_what_is_not_there_is_an_error_that_names_it(repository, into, options, message):
    with pytest.raises(SourceError, match=message):
        await _source(repository.url, **options).fetch(into)
    assert list(into.iterdir()) == []


async def test_links_and_submodules_are_refused(repository, into):
    (repository.folder / "link").symlink_to("/etc/passwd")
    repository.commit()
    with pytest.raises(UnsafePathError, match="link: a symbolic link"):
        await _source(repository.url).fetch(into)
    (repository.folder / "link").unlink()
    repository.git("submodule", "--quiet", "add", repository.url, "inner")
    repository.commit()
    with pytest.raises(SkillError, match="inner: a submodule"):
        await _source(repository.url).fetch(into)


async def test_filters_hooks_and_attributes_of_the_repository_do_nothing(repository, into, tmp_path):
    proof = tmp_path / "proof"
    repository.git("config", "filter.evil.smudge", f"touch {proof}")
    repository.git("config", "filter.evil.clean", "cat")
    hook = repository.folder / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {proof}\n")
    hook.chmod(0o755)
    lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    files = {
        ".gitattributes": "*.py filter=evil eol=crlf ident\n*.bin filter=lfs\n",
        "scripts/a.py": "# $Id$\n",
        "x.bin": lfs,
    }
    repository.commit(files)
    fetched = await _source(repository.url).fetch(into)
    assert (fetched.folder / "scripts" / "a.py").read_bytes() == b"# $Id$\n"
    assert (fetched.folder / "x.bin").read_text() == lfs
    assert not proof.exists()


async def test_the_users_git_configuration_is_not_read(repository, into, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    proof = tmp_path / "proof"
    (home / ".gitconfig").write_text(
        f'[core]\n\tsshCommand = touch {proof}\n[url "/nowhere"]\n\tinsteadOf = file:///\n'
    )
    environment = ENVIRONMENT | {
        "HOME": str(home),
        "GIT_CONFIG_COUNT": "1",
        "GIT_DIR": "/nowhere",
        "GIT_TRACE": str(proof),
    }
    fetched = await _source(repository.url, environment=environment).fetch(into)
    assert (fetched.folder / "SKILL.md").is_file()
    assert not proof.exists()


async def test_a_repository_larger_than_the_limit_is_cut_off_while_it_comes_in(repository, into):
    repository.commit({"big.bin": os.urandom(4 * 2**20)})
    with pytest.raises(SourceError, match="more than 1 MiB"):
        await _source(repository.url, pack_bytes=2**20).fetch(into)
    assert list(into.iterdir()) == []


async def test_a_small_pack_that_unpacks_to_too_much_is_refused_before_it_is_read(repository, into):
    repository.commit({f"{n}.bin": bytes([n]) * (9 * 2**20) for n in range(3)})
    with pytest.raises(BundleTooLargeError, match="16 MiB"):
        await _source(repository.url).fetch(into)


async def test_time_runs_out(repository, into):
    with pytest.raises(SourceError, match="did not finish within"):
        await _source(repository.url, timeout_seconds=0.001).fetch(into)
    assert list(into.iterdir()) == []


async def test_a_local_repository_needs_permission_also_by_redirection(repository):
    with pytest.raises(SourceSpecError, match="begin with https or ssh"):
        _source(repository.url, allow_local=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/a.git",
        "ssh://git@host.example/a.git",
        "ssh://host.example:22/a",
        "git@host.example:org/a.git",
    ],
)
def test_usual_addresses_pass(url):
    assert check_url(url, allow_local=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch x",
        "-oProxyCommand=x",
        "ext::sh -c touch% x",
        "http://host.example/a.git",
        "git://host.example/a.git",
        "file:///etc",
        "/etc",
        "https:///a",
        "ssh://-oProxyCommand=x/a",
        "-x@host.example:a",
        "git@-oProxyCommand=x:a",
        "https://me:s3cret@host.example/a",
        "https://t0ken-s3cret@host.example/a",
        "https://host.example/a?token=s3cret",
        "https://host.example/a#s3cret",
        "https://host.example/a\nb",
        "https://[x/y",
        "https://host.example:99999/a",
        "https://host.example:x/a",
    ],
)
def test_addresses_that_could_do_something_else_are_refused_without_repeating_secrets(url):
    with pytest.raises(SourceSpecError) as caught:
        check_url(url, allow_local=False)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "ref", ["-x", "--upload-pack=x", "a:b", "+a", "a b", "a..b", "a*", "", "a.lock", "x@{1}", "a/", "^a"]
)
def test_refs_that_mean_something_else_are_refused(ref):
    with pytest.raises(SourceSpecError):
        _source("https://host.example/a", ref=ref)


@pytest.mark.parametrize("subfolder", ["../x", "a/../../b", "a\nb"])
def test_subfolders_that_leave_the_repository_are_refused(subfolder):
    with pytest.raises(UnsafePathError):
        _source("https://host.example/a", subfolder=subfolder)


class _Hosts:
    """Says which addresses a host has, and what it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.asked: list[tuple[str, int]] = []
        self._addresses = addresses

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append((host, port))
        if not self._addresses:
            raise SourceSpecError("a private address")
        return self._addresses


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://Host.example/a.git", ("host.example", 443)),
        ("https://10.0.0.5:8443/x.git", ("10.0.0.5", 8443)),
        ("https://[fd00::1]/x.git", ("fd00::1", 443)),
        ("ssh://git@host.example:2222/a", ("host.example", 2222)),
        ("git@host.example:org/a.git", ("host.example", 22)),
    ],
)
async def test_git_is_not_started_for_a_host_that_is_refused(into, url, asked):
    hosts = _Hosts()
    with pytest.raises(SourceSpecError, match="private"):
        await _source(url, hosts=hosts).fetch(into)
    assert hosts.asked == [asked]


@pytest.mark.parametrize("url", ["https://%31%30.0.0.5/a", "https://h\u00f6st.example/a", "ssh://git@a$IFS/b"])
async def test_a_host_that_git_could_read_otherwise_is_not_looked_up(into, url):
    hosts = _Hosts("203.0.113.1")
    with pytest.raises(SourceSpecError):
        await _source(url, hosts=hosts).fetch(into)
    assert hosts.asked == []


async def test_a_file_has_no_host(repository, into):
    hosts = _Hosts()
    await _source(repository.url, hosts=hosts).fetch(into)
    assert hosts.asked == []


class _Listening:
    """Takes one connection on this machine and says nothing."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self.connections = 0

    async def __aenter__(self) -> _Listening:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    async def _take(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.mark.parametrize("scheme", ["https", "ssh"])
async def test_git_goes_to_the_address_that_was_checked_and_looks_up_none(into, scheme):
    """``.invalid`` has no address anywhere (RFC 6761): whatever arrives was sent to the one that was given."""
    if scheme == "ssh" and shutil.which("ssh") is None:
        pytest.skip("there is no ssh here")
    async with _Listening() as listening:
        source = _source(f"{scheme}://repository.invalid:{listening.port}/a", hosts=_Hosts("127.0.0.1"))
        with pytest.raises(SourceError):
            await source.fetch(into)
        assert listening.connections >= 1
