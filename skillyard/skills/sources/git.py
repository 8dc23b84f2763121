"""A skill in a Git repository, fetched with ``git`` but never checked out.

Checking out is where a repository gets to do things: filters, hooks, submodules, links, LFS downloads. So one commit is
fetched into an empty repository, its tree is listed, and its blobs are written by us, under the names and within the
limits that every bundle has. Links and submodules in the skill's folder are refused. ``git`` reads no configuration of
the machine or the user, asks nobody for anything, and speaks https and ssh only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import shlex
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from skillyard.skills.bundle import MAX_BUNDLE_BYTES, MAX_FILE_BYTES
from skillyard.skills.errors import BundleTooLargeError, SkillError, SourceError, SourceSpecError, UnsafePathError
from skillyard.skills.frontmatter import FILE
from skillyard.skills.paths import check_path, is_state, printable
from skillyard.skills.source import Fetched
from skillyard.skills.sources.process import Finished, run_tool
from skillyard.skills.sources.staging import Staging, emptied_on_failure, has_manifest, in_thread, skill_root

MAX_PACK_BYTES = 128 * 1024 * 1024
MAX_LISTING_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 120.0

_SCP = re.compile(r"(?P<host>[A-Za-z0-9._-]+@[A-Za-z0-9.-]+):(?P<path>[^/:][^:]*)")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|[0-9A-Fa-f:.]+")
_PORTS = {"https": 443, "ssh": 22}
_SSH = "ssh -oBatchMode=yes -oControlMaster=no -oControlPath=none"
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    "fetch.unpackLimit": "1",  # keeps what is fetched in one pack file, whose size the file limit bounds
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.followRedirects": "initial",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
}


HostCheck = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""The IP addresses that a host and a port stand for, where ``git`` may be sent to all of them; raises otherwise."""


@dataclass(frozen=True, slots=True)
class _Pinned:
    """Settings and environment which keep ``git`` at addresses that were checked."""

    settings: Mapping[str, str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Blob:
    path: str
    name: str
    size: int
    executable: bool


class GitSource:
    """One folder of a repository at a ref (branch, tag or whole commit; default: the remote's HEAD).

    ``environment`` is what ``git`` starts with. ``allow_local`` also allows ``file:`` addresses. With ``hosts`` the
    repository's host is resolved and checked before ``git`` starts, which then goes to exactly those addresses and
    follows no redirect. Raises ``SourceSpecError`` for an address, ref or folder that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        ref: str | None = None,
        subfolder: str | None = None,
        environment: Mapping[str, str],
        allow_local: bool = False,
        hosts: HostCheck | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        pack_bytes: int = MAX_PACK_BYTES,
    ) -> None:
        self._url = check_url(url, allow_local=allow_local)
        self._ref = _check_ref(ref)
        self._subfolder = _check_subfolder(subfolder)
        self._environment = _git_environment(environment, allow_local=allow_local)
        self._hosts = hosts
        self._timeout_seconds = timeout_seconds
        self._pack_bytes = pack_bytes

    async def fetch(self, into: Path) -> Fetched:
        """See ``Source``. The commit that the ref stood for is recorded in the origin and can be fetched again."""
        async with emptied_on_failure(into):
            repository = into / ".repository"
            repository.mkdir()
            await self._git(repository, "init", "--quiet", "--bare", "--template=", ".")
            commit = await self._fetch_commit(repository)
            blobs = await self._list(repository, commit)
            folder = into / self._folder_name()
            await self._write(repository, blobs, folder)
            root = await in_thread(lambda _stop: self._root(folder))
        suffix = f"#subdirectory={self._subfolder}" if self._subfolder else ""
        return Fetched(root, f"git+{self._url}@{commit}{suffix}", commit)

    async def _fetch_commit(self, repository: Path) -> str:
        options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        wanted = f"+{self._ref or 'HEAD'}:refs/skillyard/wanted"
        pinned = await _pinned(self._url, self._hosts)
        await self._git(repository, "fetch", *options, "--", self._url, wanted, pinned=pinned)
        found = await self._git(repository, "rev-parse", "--verify", "refs/skillyard/wanted^{commit}")
        commit = found.decode("ascii", "replace").strip()
        if not _COMMIT.fullmatch(commit):
            raise SourceError("git gave no commit")
        if self._ref and _COMMIT.fullmatch(self._ref) and commit != self._ref:
            raise SourceError(f"the commit {self._ref} was asked for, {commit} came")
        return commit

    async def _list(self, repository: Path, commit: str) -> list[_Blob]:
        """The skill's files with their sizes, before anything is written; limits hold already here."""
        tree = f"{commit}:{self._subfolder}" if self._subfolder else commit
        listing = await self._git(repository, "ls-tree", "-r", "-l", "-z", "--full-tree", tree)
        blobs = [_blob(line) for line in listing.split(b"\0") if line]
        kept = [blob for blob in blobs if not is_state(blob.path)]
        if sum(blob.size for blob in kept) > MAX_BUNDLE_BYTES:
            raise BundleTooLargeError(
                f"more than {MAX_BUNDLE_BYTES // 2**20} MiB in all; say in which folder the skill is", file=FILE
            )
        return kept

    async def _write(self, repository: Path, blobs: list[_Blob], folder: Path) -> None:
        names = repository / "wanted-blobs"
        names.write_text("".join(f"{blob.name}\n" for blob in blobs), encoding="ascii")
        command = ("cat-file", "--batch", "--buffer")
        output = await self._git(repository, *command, stdin=names, output_bytes=MAX_BUNDLE_BYTES + MAX_LISTING_BYTES)
        await in_thread(lambda stop: _write_blobs(blobs, output, folder, stop))

    def _root(self, folder: Path) -> Path:
        if self._subfolder is None:
            return skill_root(folder)
        if not has_manifest(folder):
            raise SkillError(f"there is no {FILE} in {self._subfolder!r}", file=FILE)
        return folder

    def _folder_name(self) -> str:
        name = (self._subfolder or self._url).rstrip("/").removesuffix(".git").rpartition("/")[2]
        return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) else "skill"

    async def _git(
        self,
        repository: Path,
        *arguments: str,
        stdin: Path | None = None,
        output_bytes: int = MAX_LISTING_BYTES,
        pinned: _Pinned | None = None,
    ) -> bytes:
        kept = pinned or _Pinned({}, {})
        all_settings = {**_SETTINGS, **kept.settings}
        settings = [part for key, value in all_settings.items() for part in ("-c", f"{key}={value}")]
        finished = await run_tool(
            ["git", *settings, *arguments],
            folder=repository,
            environment={**self._environment, **kept.environment},
            timeout_seconds=self._timeout_seconds,
            output_bytes=output_bytes,
            file_bytes=self._pack_bytes,
            stdin=stdin,
        )
        if finished.code != 0:
            why = _why(finished)
            if await asyncio.to_thread(_largest_file, repository) + 512 > self._pack_bytes:
                why = f"more than {self._pack_bytes // 2**20} MiB"
            raise SourceError(f"git {arguments[0]} of {self._url} failed: {why}")
        return finished.stdout


def check_url(url: str, *, allow_local: bool) -> str:
    """Return an address that may be fetched from; otherwise raise ``SourceSpecError``, without repeating secrets."""
    if url.startswith("-") or not url.isprintable() or " " in url:
        raise SourceSpecError("not an address of a Git repository", field="url")
    if is_scp_address(url):
        return url
    parts = _split(url)
    schemes = {"https", "ssh", "file"} if allow_local else {"https", "ssh"}
    if parts.scheme not in schemes:
        raise SourceSpecError(f"Git addresses begin with {' or '.join(sorted(schemes))}", field="url")
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise SourceSpecError("credentials do not belong into an address; use ~/.netrc or an SSH key", field="url")
    if parts.query or parts.fragment:
        raise SourceSpecError("a Git address has no query and no fragment", field="url")
    if (parts.scheme != "file" and not parts.hostname) or (parts.hostname or "").startswith("-"):
        raise SourceSpecError("not an address of a Git repository", field="url")
    return url


async def _pinned(url: str, hosts: HostCheck | None) -> _Pinned | None:
    """How ``git`` is kept at what ``hosts`` checked. A file has no host."""
    scheme, host, port = _destination(url)
    if hosts is None or scheme == "file":
        return None
    if not _HOST.fullmatch(host):
        raise SourceSpecError("a host has letters, digits, dots and hyphens only", field="url")
    addresses = await hosts(host, port)
    if scheme == "ssh":
        alias = host if port == _PORTS["ssh"] else f"[{host}]:{port}"
        options = (f"-oHostName={addresses[0]}", f"-oHostKeyAlias={alias}")
        return _Pinned({}, {"GIT_SSH_COMMAND": " ".join((_SSH, *map(shlex.quote, options)))})
    settings = {"http.followRedirects": "false"}
    if not _is_ip(host):
        settings["http.curloptResolve"] = f"{host}:{port}:{','.join(map(_bracketed, addresses))}"
    return _Pinned(settings, {})


def _destination(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address that was checked."""
    if is_scp_address(url):
        return "ssh", url.partition(":")[0].rpartition("@")[2], _PORTS["ssh"]
    parts = _split(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SourceSpecError("not an address of a Git repository", field="url") from error
    return parts


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def is_scp_address(url: str) -> bool:
    """Whether it is written ``user@host:path``, which is short for SSH."""
    return _SCP.fullmatch(url) is not None


def _check_ref(ref: str | None) -> str | None:
    if ref is None:
        return None
    if not _REF.fullmatch(ref) or ".." in ref or "//" in ref or ref.endswith(("/", ".", ".lock")):
        raise SourceSpecError("not a branch, tag or commit of 40 hex digits", field="ref")
    return ref


def _check_subfolder(subfolder: str | None) -> str | None:
    if subfolder is None or subfolder.strip("/") in {"", "."}:
        return None
    return check_path(subfolder.strip("/"))


def _git_environment(environment: Mapping[str, str], *, allow_local: bool) -> dict[str, str]:
    ours = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_SSH_COMMAND": _SSH,
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" if allow_local else "https:ssh",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C.UTF-8",
    }
    if "SSL_CERT_FILE" in environment:
        ours["GIT_SSL_CAINFO"] = environment["SSL_CERT_FILE"]
    return {key: value for key, value in environment.items() if not key.startswith("GIT_")} | ours


def _blob(line: bytes) -> _Blob:
    """One entry of ``ls-tree -l -z``: ``<mode> <type> <object> <size>\\t<path>``."""
    facts, _tab, raw = line.partition(b"\t")
    mode, kind, name, size = facts.decode("ascii").split()
    path = raw.decode("utf-8", "surrogateescape")
    if kind == "commit":
        raise SkillError("a submodule, which is not fetched; copy its files", file=printable(path))
    if mode not in {"100644", "100755", "100664"}:
        raise UnsafePathError("a symbolic link; copy the file it points to", file=printable(path))
    if int(size) > MAX_FILE_BYTES and not is_state(path):
        raise BundleTooLargeError(f"a file larger than {MAX_FILE_BYTES // 2**20} MiB", file=printable(path))
    return _Blob(path, name, int(size), executable=mode == "100755")


def _write_blobs(blobs: list[_Blob], output: bytes, folder: Path, stop: threading.Event) -> None:
    folder.mkdir()
    staging = Staging(folder, stop)
    for blob, content in zip(blobs, _contents(blobs, output), strict=True):
        staging.count_member(blob.path)
        staging.write(blob.path, [content], executable=blob.executable)


def _contents(blobs: list[_Blob], output: bytes) -> Iterator[bytes]:
    """The objects of ``cat-file --batch``: ``<object> blob <size>\\n<content>\\n``, in the order asked for."""
    at = 0
    for blob in blobs:
        header = f"{blob.name} blob {blob.size}\n".encode()
        start = at + len(header)
        at = start + blob.size + 1
        if output[start - len(header) : start] != header or output[at - 1 : at] != b"\n":
            raise SourceError(f"git did not hand out {printable(blob.path)}")
        yield output[start : at - 1]


def _largest_file(folder: Path) -> int:
    """A pack that was cut off by the limit on file sizes is as large as the limit; git itself does not say why."""
    return max((path.lstat().st_size for path in folder.rglob("*")), default=0)


def _why(finished: Finished) -> str:
    lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    return printable("; ".join(lines[-3:]))[:500] or f"exit code {finished.code}"
