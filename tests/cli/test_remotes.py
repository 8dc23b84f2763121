"""Following another marketplace, from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import new_cli, serving


def test_a_remote_is_added_shown_changed_and_removed(package_cache: Path, tmp_path: Path) -> None:
    cli = new_cli(tmp_path, package_cache, marketplace_allow_private="true")
    with serving(cli) as server:
        # A server may follow itself: what is followed is the catalogue, and what is kept is the mirror.
        url, token = server.url, cli.folder / "token"
        token.write_text(server.token)
        added = server(
            "remotes", "add", "hub", url, "--token-file", token, "--publisher", "acme", "--no-live", "--json"
        )
        assert added.code == 0, added.out + added.err
        assert (added.code, added.document["state"], added.document["filters"]["publishers"]) == (
            0,
            "enabled",
            ["acme"],
        )
        assert server.token not in added.out
        assert server("remotes", "add", "hub", url).code == 1
        assert server("remotes", "add", "x", "https://user:secret@example.org").code == 1
        assert server("remotes", "list").out.split()[-2:] != []
        changed = server("remotes", "change", "hub", "--everything", "--strategy", "manual", "--live", "--json")
        assert (changed.document["strategy"], changed.document["live"]) == ("manual", True)
        assert changed.document["filters"]["publishers"] == []
        assert server("remotes", "change", "hub", "--everything", "--publisher", "x").code == 2
        wrong = server.cli(
            "remotes", "rotate-token", "hub", "--json", stdin="wrong\n", server=server.url, token=server.token
        )
        assert (wrong.code, wrong.document["code"]) == (1, "remote_refused")
        right = server.cli("remotes", "rotate-token", "hub", stdin=server.token, server=server.url, token=server.token)
        assert right.code == 0, right.err
        assert "disabled" in server("remotes", "disable", "hub").out
        assert "enabled" in server("remotes", "enable", "hub").out
        assert server("remotes", "accept-key", "hub", "abc").code == 1
        accepted = server("remotes", "accept-key", "hub", "ab" * 32)
        assert f"key {'ab' * 32}" in accepted.out
        assert "hub" in server("remotes", "show", "hub").out
        assert server("remotes", "remove", "hub").code == 0
        gone = server("remotes", "show", "hub", "--json")
        assert (gone.code, gone.document["code"]) == (1, "not_found")
