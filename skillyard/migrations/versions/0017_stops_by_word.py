"""Stops know which word of a remote they come from, and what was set aside how a head counts it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_MOST_REASON = 500


def upgrade() -> None:
    with op.batch_alter_table("remote_set_aside") as batch:
        batch.add_column(sa.Column("member", sa.LargeBinary(), nullable=True))
    with op.batch_alter_table("bundle_stops") as batch:
        batch.add_column(sa.Column("key", sa.String(300), server_default="", nullable=False))
    with op.batch_alter_table("bundle_stops") as batch:
        # Those that were there alone have none; a writer always says.
        batch.alter_column("key", existing_type=sa.String(300), existing_nullable=False, server_default=None)
        batch.create_index("ix_bundle_stops_source_key", ["source", "key"], unique=False)
    _name_words(op.get_bind())


def downgrade() -> None:
    with op.batch_alter_table("bundle_stops") as batch:
        batch.drop_index("ix_bundle_stops_source_key")
        batch.drop_column("key")
    with op.batch_alter_table("remote_set_aside") as batch:
        batch.drop_column("member")


def _name_words(connection: sa.Connection) -> None:
    """Give each stop of a remote the word that it comes from, one for each where there are several. One whose word
    cannot be told is let go with its remote, and one whose remote is gone at once: nobody could take it back."""
    stops = _rows(
        connection, "SELECT id, workspace_id, bundle_digest, source, at FROM bundle_stops WHERE source <> 'hub'"
    )
    if not stops:
        return
    remotes = {
        f"remote {one['id']}": one
        for one in _rows(connection, "SELECT id, workspace_id, name, catalogue_id FROM remotes")
    }
    words = {
        source: _words(connection, remotes[source]) for source in {one["source"] for one in stops} & remotes.keys()
    }
    named: list[dict[str, Any]] = []
    over: list[int] = []
    for stop in stops:
        of_remote = words.get(stop["source"])
        said = [] if of_remote is None else of_remote.get(stop["bundle_digest"], [])
        named += [{**stop, **word} for word in said]
        if said or of_remote is None:
            over.append(stop["id"])
    for id_ in over:
        connection.execute(sa.text("DELETE FROM bundle_stops WHERE id = :id"), {"id": id_})
    for row in named:
        connection.execute(
            sa.text(
                "INSERT INTO bundle_stops (workspace_id, bundle_digest, source, key, state, reason, at) "
                "VALUES (:workspace_id, :bundle_digest, :source, :key, :state, :reason, :at)"
            ).bindparams(sa.bindparam("at", type_=sa.DateTime(timezone=True))),
            {name: value for name, value in row.items() if name != "id"},
        )


def _words(connection: sa.Connection, remote: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What is said of each bundle, in the mirror or by the place that it was installed from."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    said = _rows(connection, "SELECT key, state, reason FROM remote_words WHERE remote_id = :id", id=remote["id"])
    for word in said:
        key = word["key"]
        below = key if "@" in key else f"{key}@" if "/" in key else f"{key}/"
        last = key if "@" in key else f"{below}\x7f"
        entries = _rows(
            connection,
            "SELECT document FROM catalogue_entries WHERE catalogue_id = :id AND kind = 'version' "
            "AND key >= :first AND key <= :last AND document IS NOT NULL",
            id=remote["catalogue_id"],
            first=below,
            last=last,
        )
        # Names have no character that means something to LIKE.
        installed = _rows(
            connection,
            "SELECT bundle_digest FROM skill_versions WHERE workspace_id = :workspace AND origin LIKE :origin",
            workspace=remote["workspace_id"],
            origin=f"remote:{remote['name']}/{below}{'' if below == key else '%'}",
        )
        bundles = {json.loads(one["document"])["bundle"] for one in entries} | {
            one["bundle_digest"] for one in installed
        }
        reason = f"{remote['name']} says of {key}: {word['reason']}"[:_MOST_REASON]
        for bundle in bundles:
            found[bundle].append({"key": key, "state": word["state"], "reason": reason})
    return found


def _rows(connection: sa.Connection, query: str, **values: object) -> list[dict[str, Any]]:
    text = sa.text(query)
    # SQLite gives a moment as text unless it is told what it is.
    asked = text.columns(at=sa.DateTime(timezone=True)) if ", at " in query else text
    return [dict(row) for row in connection.execute(asked, values).mappings()]
