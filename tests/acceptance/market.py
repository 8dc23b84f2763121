"""Hubs and followers in a story: publishing at one, following it from another, and what each of them holds."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
from tests.acceptance.people import Json, People, answered, said
from tests.acceptance.server import Server
from tests.acceptance.skills import manifest
from tests.acceptance.stage import Stage
from tests.acceptance.story import HarnessError

PUBLISHER = "acme"
FOLLOWS: Mapping[str, str] = {
    "marketplace_allow_private": "true",
    "marketplace_allow_http": "true",
}
"""Settings of a follower whose hub is on this machine."""


@dataclass(frozen=True)
class Hub:
    """A server that publishes, and its first person, who is its operator."""

    people: People

    @property
    def admin(self) -> httpx.Client:
        return self.people.admin

    @property
    def server(self) -> Server:
        return self.people.server

    def take(self, publisher: str = PUBLISHER) -> None:
        answered(
            self.admin.post("/v1/marketplace/publishers", json={"name": publisher, "display_name": publisher.title()})
        )

    def token(self, name: str, *scopes: str) -> str:
        wanted = {"name": name, "scopes": scopes, "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
        return str(answered(self.admin.post("/v1/marketplace/tokens", json=wanted))["token"])

    def publish(
        self, name: str, code: str, *, version: str = "1.0.0", publisher: str = PUBLISHER, **fields: str
    ) -> Json:
        """Publish a small skill, strictly written; the hub's answer to it."""
        files = {"SKILL.md": manifest(name, version, **fields).encode(), "scripts/main.py": code.encode()}
        listed = [
            {"path": path, "sha256": _sha(content), "size": len(content), "executable": False}
            for path, content in sorted(files.items())
        ]
        for content in files.values():
            answered(self.admin.put(f"/v1/marketplace/files/{_sha(content)}", content=content))
        item = {
            "item": uuid.uuid4().hex,
            "kind": "version",
            "key": f"{publisher}/{name}@{version}",
            "document": "{}",
            "files": listed,
        }
        (result,) = answered(self.admin.post("/v1/marketplace/push", json={"items": [item]}))["results"]
        return dict(result)

    def published(self, name: str, code: str, *, version: str = "1.0.0", **fields: str) -> None:
        """The same where the story goes on only if it worked."""
        result = self.publish(name, code, version=version, **fields)
        if result["status"] != "applied":
            raise HarnessError(f"publishing {name}@{version}: {result}")

    def moderate(self, key: str, state: str, reason: str = "A story needs it.") -> Json:
        return answered(
            self.admin.post("/v1/marketplace/moderation", json={"key": key, "state": state, "reason": reason})
        )

    def head(self) -> Json:
        """What the hub signs about its catalogue."""
        return _payload(answered(self.admin.get("/v1/marketplace/head")))

    def skill(self, name: str, publisher: str = PUBLISHER) -> Json:
        return answered(self.admin.get(f"/v1/marketplace/skills/{publisher}/{name}"))


@dataclass(frozen=True)
class Follower:
    """A server that follows a hub under the name ``hub``."""

    people: People

    @property
    def admin(self) -> httpx.Client:
        return self.people.admin

    def follow(self, url: str, token: str, *, strategy: str = "remote_wins", live: bool = True) -> None:
        wanted = {"name": "hub", "url": url, "token": token, "strategy": strategy, "live": live}
        answered(self.admin.post("/v1/remotes", json=wanted))

    def sync(self, job: str = "catalogue") -> None:
        """Ask for a run; one that is under way does as well."""
        asked = self.admin.post("/v1/admin/sync/trigger", json={"remote": "hub", "job": job})
        if asked.status_code not in (202, 409):
            raise HarnessError(said(asked))

    def mirror(self) -> Json:
        return answered(self.admin.get("/v1/remotes/hub/mirror"))

    def status(self) -> Json:
        """How the remote stands here."""
        found: list[Json] = answered(self.admin.get("/v1/admin/sync/status"))["remotes"]
        return found[0]

    def listed(self, text: str = "", **narrowed: str) -> dict[str, Json]:
        """What a search of the mirror finds, by name."""
        query = {"remote": "hub", "q": text, "limit": "100", **narrowed}
        found: list[Json] = answered(self.admin.get("/v1/marketplace/skills", params=query))["items"]
        return {f"{one['publisher']}/{one['name']}": one for one in found}

    def install(self, address: str, *, route: str = "/v1/skills") -> httpx.Response:
        return self.admin.post(route, json={"source": f"hub:{address}"})


def hub(stage: Stage, **settings: str) -> Hub:
    """A fresh server with the namespace of the story's publisher."""
    made = Hub(People(stage.serve(stage.home(), **settings)))
    made.take()
    return made


def follower(stage: Stage, of: Hub, *, name: str, strategy: str = "remote_wins", **settings: str) -> Follower:
    """A fresh server that follows a hub, with a token for all there is."""
    made = Follower(People(stage.serve(stage.home(), **{**FOLLOWS, **settings})))
    made.follow(of.server.url, of.token(name, "read", "publish", "rate"), strategy=strategy)
    return made


def equal(of: Hub, mirror: Follower) -> bool:
    """Whether a mirror was found to be what the hub signs now, and is one to install from: a run got to its end."""
    head, seen = of.head(), mirror.mirror()
    return bool(
        seen["seq"] == head["seq"] and seen["live"] == head["live"] and seen["checked_at"] and seen["succeeded_at"]
    )


def archive_of(name: str, code: str, version: str = "1.0.0", **fields: str) -> bytes:
    """A skill as strict publishing takes it, as an archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr(f"{name}/SKILL.md", manifest(name, version, **fields))
        writer.writestr(f"{name}/scripts/main.py", code)
    return file.getvalue()


def _payload(envelope: Json) -> Json:
    value: Json = json.loads(base64.b64decode(envelope["payload"]))
    return value


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
