"""The server's own marketplace from the command line: a publisher's day, a moderator's, and a follower's token."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli, serving, skill


def test_a_publisher_and_a_moderator_go_about_their_day(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path)
    with serving(cli) as server:
        assert server("market", "take", "acme", "--display-name", "Acme").out == "acme is your workspace's\n"
        published = server("publish", folder, "--publisher", "acme", "--json")
        assert published.code == 0, published.err
        moved = server("market", "channel", "acme/adder", "beta", "1.0.0")
        assert moved.out == "acme/adder: beta → 1.0.0, latest → 1.0.0\n", moved.err
        told = server("market", "deprecate", "acme/adder", "--reason", "there is a better one").out
        assert told == "acme/adder is deprecated\n"
        assert server("market", "category", "data", "--title", "Data").out == "data: Data\n"
        said = server("market", "moderate", "acme/adder@1.0.0", "quarantined", "--reason", "looks odd")
        assert said.out == "acme/adder@1.0.0 is quarantined\n"
        assert "looks odd" in server("market", "moderation", "--state", "quarantined").out
        token = server("market", "issue-token", "mirror", "--scope", "read").out.strip()
        assert token.startswith("skm_1_")
        newer = server("market", "rotate-token", "1", "--grace-seconds", "0").out.strip()
        assert newer.startswith("skm_2_")
        assert server("market", "revoke-token", "2").code == 0
        listed = server("market", "tokens").out.splitlines()[1:]
        assert [line.split()[-1] for line in listed] == ["expired", "revoked"]
