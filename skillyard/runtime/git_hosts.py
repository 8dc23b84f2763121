"""Where the server's own ``git`` may go for whoever names a repository."""

from __future__ import annotations

from skillyard.runtime.addresses import Reach, host_ips
from skillyard.settings import Settings
from skillyard.skills.errors import SourceSpecError
from skillyard.skills.sources.git import HostCheck

_REACH = Reach(private=False, plain_loopback=False, plain=False, refusal=SourceSpecError)


def git_hosts(settings: Settings) -> HostCheck | None:
    """The check of a repository's host; ``None`` where the settings let it be anywhere."""
    return None if settings.git_allow_private else _public


async def _public(host: str, port: int) -> tuple[str, ...]:
    return tuple(str(ip) for ip in await host_ips(host, port, _REACH))
