"""Who talks to a server in a story: the first admin, a second person, agents; each with a token of their own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from tests.acceptance.server import Server
from tests.acceptance.story import HarnessError

Json = dict[str, Any]


@dataclass(frozen=True)
class Agent:
    """An agent's id, and a client that speaks as it."""

    id: int
    client: httpx.Client

    def call(
        self, skill: str, given: Json | None = None, *, files: Mapping[str, bytes] | None = None, **fields: Any
    ) -> httpx.Response:
        """One call; ``fields`` as the API names them (``entry``, ``argv``, ``timeout_seconds``)."""
        encoded = {path: base64.b64encode(content).decode() for path, content in (files or {}).items()}
        return self.client.post(
            "/v1/invocations", json={"skill": skill, "input": given or {}, "files": encoded, **fields}
        )


class People:
    """Everybody at one server, beginning with the admin of its first start."""

    def __init__(self, server: Server, token: str | None = None) -> None:
        self.server = server
        self.token = token or server.first_token
        self.admin = server.client(self.token)

    def person(self, name: str, role: str = "admin") -> httpx.Client:
        added = answered(self.admin.post("/v1/persons", json={"name": name, "role": role}))
        return self.server.client(self._token(person=added["id"]))

    def agent(self, name: str, maturity: str) -> Agent:
        """An agent that the first admin answers for."""
        added = answered(self.admin.post("/v1/agents", json={"name": name, "maturity": maturity}))
        return Agent(added["id"], self.server.client(self._token(agent=added["id"])))

    def _token(self, **holder: int) -> str:
        return str(answered(self.admin.post("/v1/tokens", json={"name": "story", **holder}))["token"])

    def upload(self, archive: bytes, *, route: str = "/v1/skills", publisher: str = "acme") -> httpx.Response:
        """Install a skill, or upgrade it (``route="/v1/skills/upgrade"``)."""
        return self.admin.post(
            route, data={"publisher": publisher}, files={"file": ("skill.zip", archive, "application/zip")}
        )

    def install(self, archive: bytes) -> Json:
        return answered(self.upload(archive))

    def install_hostile(self, archive: bytes) -> Json:
        """Install what the static scan would keep out: an admin waives each of its findings, file by file."""
        refused = self.upload(archive)
        found = refused.json().get("report", {}).get("findings", [])
        expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for rule, digest in {(one["rule"], one["file_sha256"]) for one in found if one["level"] == "BLOCK"}:
            waiver = {"rule": rule, "file_sha256": digest, "reason": "Made to attack.", "expires_at": expires}
            answered(self.admin.post("/v1/waivers", json=waiver))
        return self.install(archive)


def answered(response: httpx.Response) -> Json:
    """The body of an answer that has to be a success for the story to go on."""
    if not response.is_success:
        raise HarnessError(
            f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text}"
        )
    value: Json = response.json()
    return value


def said(response: httpx.Response) -> str:
    """Status and body in one line, for the message of a check."""
    return f"{response.status_code} {response.text[:600]}"
