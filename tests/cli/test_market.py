"""The server's own marketplace from the command line: a publisher's day, a moderator's, and a follower's token."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.cli.conftest import Cli, serving, skill


def archive(folder: Path) -> Path:
    """A skill as it is handed on."""
    path = folder.with_name("handed-on.zip")
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            packed.write(file, file.relative_to(folder.parent))
    return path


def test_a_publisher_and_a_moderator_go_about_their_day(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path)
    with serving(cli) as server:
        assert server("market", "take", "acme", "--display-name", "Acme").out == "acme is your workspace's\n"
        assert server("publish", folder, "--publisher", "acme", "--wait", "5").code == 2
        published = server("publish", archive(folder), "--publisher", "acme", "--json")
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
        # What is shown of a key is what it takes to revoke it.
        for key in ("ab" * 32, "cd" * 32):
            assert server("market", "add-key", "acme", key).code == 0
        shown = [line.split()[-1] for line in server("market", "publishers").out.splitlines()[1:]]
        assert shown == ["ab" * 32, "cd" * 32]
        assert server("market", "revoke-key", "acme", shown[0]).code == 0
