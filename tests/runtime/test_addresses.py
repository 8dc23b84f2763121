"""Addresses that people name: what is none is their mistake, and never this server's."""

from __future__ import annotations

import pytest
from skillyard.errors import InputError
from skillyard.runtime.addresses import parse_url
from skillyard.runtime.git_hosts import git_hosts
from skillyard.settings import Settings
from skillyard.skills.errors import SourceSpecError


@pytest.mark.parametrize("text", ["https://xn--a", "https://xn--a/path", "https://", "ftp://x.example"])
def test_what_is_no_address_is_an_error_about_it(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_url(text, example="https://x.example", credentials="leave them out")
    assert refused.value.field == "url"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.5", "192.168.0.1", "169.254.169.254", "::1", "localhost", "0x7f.1"]
)
async def test_git_goes_to_private_addresses_only_where_a_setting_says_so(host: str) -> None:
    check = git_hosts(Settings())
    assert check is not None
    with pytest.raises(SourceSpecError, match="private address"):
        await check(host, 443)
    assert git_hosts(Settings(git_allow_private=True)) is None
