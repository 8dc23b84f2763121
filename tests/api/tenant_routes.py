"""Every route of the application, and what is asked of it: ids in paths, ids in bodies, ids of nothing."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from skillyard.api.application import create_app
from skillyard.settings import Settings

Ids = dict[str, Any]
Route = tuple[str, str]

MARK = f"mark{uuid.uuid4().hex[:10]}"
"""Part of whatever the victim has that is text, so that it can be looked for in every answer."""
SHOWN = f"shown{uuid.uuid4().hex[:10]}"
"""Part of what the victim published instead: everybody may see that."""
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()
PUBLIC = {"/health", "/health/sync", "/openapi.json"}
WAIVED = {
    "ecosystem": "pypi",
    "name": f"waived-{MARK}",
    "version": "1.0",
    "advisory": f"ADV-{MARK}",
    "reason": MARK,
    "expires_at": SOON,
}
PUBLISHED = {
    "SKILL.md": f'---\nname: {SHOWN}\ndescription: Writes.\nmetadata:\n  version: "1.0.0"\n---\nA table.\n'.encode(),
    "notes.md": f"About {SHOWN}.\n".encode(),
}
AHEAD = f"Not published yet: {MARK}\n".encode()
"""A file that was sent ahead of a publication."""


BODIES: dict[Route, Any] = {
    ("PUT", "/v1/agents/{agent_id}/maturity"): {"maturity": "INTERN", "reason": "theft"},
    ("POST", "/v1/agents/{agent_id}/suspend"): {"reason": "theft"},
    ("POST", "/v1/agents/{agent_id}/resume"): {"reason": "theft"},
    ("PUT", "/v1/agents/{agent_id}/pins/{publisher}/{name}"): {"version": "1.0.0"},
    ("POST", "/v1/quarantine/{publisher}/{name}/versions/{version}/lift"): {"reason": "theft"},
    ("POST", "/v1/approvals/{approval_id}/revoke"): {"reason": "theft"},
    ("POST", "/v1/skills/{publisher}/{name}/activate"): {"version": "1.0.0"},
    ("POST", "/v1/supervision/{invocation_id}/stop"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/suspend"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/resume"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/quotas"): {"agents": 0},
    ("POST", "/v1/marketplace/tokens/{token_id}/rotate"): {"expires_at": SOON, "grace_seconds": 0},
    ("POST", "/v1/admin/sync/conflicts/{conflict_id}/resolve"): {"strategy": "remote_wins"},
    ("PUT", "/v1/remotes/{name}"): {"live": False},
    ("POST", "/v1/remotes/{name}/accept-key"): {"key": "ab" * 32},
    ("POST", "/v1/remotes/{name}/token"): {"token": None},
    ("POST", "/v1/remotes/{name}/signers/{publisher}/accept"): {"key": "ab" * 32},
    ("POST", "/v1/remotes/{remote}/publish"): {"git": {"url": "https://127.0.0.1:9/theft.git"}},
    ("POST", "/v1/remotes/{remote}/publish-installed"): {"skill": f"local/skill-{MARK}@1.0.0"},
    ("POST", "/v1/remotes/{remote}/skills/{publisher}/{name}/edit"): {"description": "theft"},
    ("POST", "/v1/remotes/{remote}/skills/{publisher}/{name}/versions/{version}/yank"): {"reason": "theft"},
    ("PUT", "/v1/remotes/{remote}/skills/{publisher}/{name}/rating"): {"stars": 1},
}
"""What routes with ids in their paths need besides."""

NO_IDS: set[Route] = {
    ("POST", "/v1/persons"),
    ("POST", "/v1/packages/approve"),
    ("POST", "/v1/packages/ban"),
    ("POST", "/v1/packages/import"),
    ("POST", "/v1/packages/allow-list"),
    ("POST", "/v1/packages/request"),
    ("POST", "/v1/audit/head"),
    ("POST", "/v1/webhooks"),
    ("POST", "/v1/workspaces"),
    ("POST", "/v1/skills/import"),
    ("POST", "/v1/remotes"),
    ("POST", "/v1/marketplace/publishers"),
    ("POST", "/v1/marketplace/tokens"),
    ("POST", "/v1/marketplace/token/rotate"),
    ("POST", "/v1/marketplace/put-back"),
}
"""Routes that change something and can be given no id of anybody's."""

SKILL_PATH = "/v1/marketplace/skills/{publisher}/{name}"
CATALOGUE: set[Route] = {
    ("GET", path)
    for path in (
        "/v1/marketplace",
        "/v1/marketplace/head",
        "/v1/marketplace/changes",
        "/v1/marketplace/snapshot",
        "/v1/marketplace/publishers",
        "/v1/marketplace/categories",
        "/v1/marketplace/moderation",
        "/v1/marketplace/skills",
        SKILL_PATH,
        f"{SKILL_PATH}/versions",
        f"{SKILL_PATH}/ratings",
        f"{SKILL_PATH}/versions/{{version}}/files",
        f"{SKILL_PATH}/versions/{{version}}/report",
        "/v1/marketplace/files/{sha256}",
        "/marketplace.json",
        "/.well-known/agent-skills/index.json",
        "/.well-known/agent-skills/{publisher}/{name}/{version}/{digest}.tar.gz",
        "/publishers/{publisher}/.well-known/agent-skills/index.json",
    )
}
"""What reads the instance's own catalogue: public to whoever holds a token by design (ADR 0035), so that nothing in
it is a tenant's secret. A moderator's words, reviews with their authors' names, and publishers' keys are part of it.
Four of these read a mirror instead, if they are asked to, and a mirror is its workspace's alone."""

PUBLISHERS: set[Route] = {
    ("POST", "/v1/marketplace/publishers/{publisher}/keys"),
    ("DELETE", "/v1/marketplace/publishers/{publisher}/keys/{key}"),
    ("PUT", f"{SKILL_PATH}/channels/{{channel}}"),
    ("DELETE", f"{SKILL_PATH}/channels/{{channel}}"),
    ("PUT", f"{SKILL_PATH}/deprecation"),
    ("DELETE", f"{SKILL_PATH}/deprecation"),
    ("POST", "/v1/marketplace/moderation"),
    ("POST", "/v1/marketplace/push"),
}
"""What changes the catalogue for its publisher: refused with 403, since everybody knows that it is there."""

OPERATORS: set[Route] = {
    ("PUT", "/v1/marketplace/categories/{category}"),
    ("DELETE", "/v1/marketplace/categories/{category}"),
    ("DELETE", f"{SKILL_PATH}/ratings/{{origin}}/{{rater}}"),
    ("DELETE", f"{SKILL_PATH}/ratings/{{origin}}/{{rater}}/strike"),
}
"""What changes it for the instance's operators, whoever published."""

RATING: set[Route] = {("PUT", f"{SKILL_PATH}/rating"), ("DELETE", f"{SKILL_PATH}/rating")}
"""One's own word of a skill, which everybody has."""

AHEAD_ROUTES: set[Route] = {("GET", "/v1/marketplace/uploads/{sha256}"), ("PUT", "/v1/marketplace/files/{sha256}")}
"""Files on their way to a publication; of one that is not there it is said that 0 bytes are."""
BY_THEMSELVES = CATALOGUE | PUBLISHERS | OPERATORS | RATING | AHEAD_ROUTES
"""Routes with ids that are no secret, or are answered in another way than with 404: each has its own test."""


def in_bodies(ids: Ids) -> dict[Route, list[dict[str, Any]]]:
    """Requests whose ids are not in the path; each is answered as one with ids that exist nowhere."""
    asked = {"packages": [{"name": "left-pad", "version": "1.0"}], "agent": ids["agent_id"]}
    return {
        ("POST", "/v1/tokens"): [
            {"json": {"name": "theft", "agent": ids["agent_id"]}},
            {"json": {"name": "theft", "person": ids["person_id"]}},
        ],
        ("POST", "/v1/agents"): [{"json": {"name": "theft", "owner": ids["person_id"]}}],
        ("POST", "/v1/waivers"): [{"json": {**WAIVED, "owner": ids["person"]}}],
        ("POST", "/v1/skills"): [{"json": {"source": f"{ids['remote']}:{ids['publisher']}/{ids['name']}"}}],
        ("POST", "/v1/skills/upgrade"): [{"json": {"source": f"{ids['remote']}:{ids['publisher']}/{ids['name']}"}}],
        ("POST", "/v1/admin/sync/conflicts/resolve"): [
            {"json": {"ids": [ids["conflict_id"]], "strategy": "remote_wins"}}
        ],
        ("GET", "/v1/admin/sync/conflicts"): [{"params": {"remote": ids["remote"]}}],
        ("POST", "/v1/invocations"): [
            {"json": {"skill": f"{ids['publisher']}/{ids['name']}"}},
            {"json": {"skill": f"{ids['publisher']}/{ids['name']}@{ids['version']}"}},
        ],
        ("POST", "/v1/packages/unban"): [{"json": {"name": ids["package"]}}],
        ("POST", "/v1/packages/check"): [{"json": asked}],
        ("GET", "/v1/packages/check"): [
            {"params": {"name": "left-pad", "version": "1.0", "agent": ids["agent_id"]}},
            {"params": {"name": ids["package"], "version": "1.0"}},
        ],
        ("GET", "/v1/supervision"): [{"params": {"agent": ids["agent_id"]}}],
        ("GET", "/v1/supervision/live"): [{"params": {"agent": ids["agent_id"]}}],
        ("GET", "/v1/packages/rules"): [{"params": {"name": ids["package"]}}],
        ("POST", "/v1/admin/sync/trigger"): [{"json": {"remote": ids["remote"]}}],
        ("PUT", "/v1/admin/sync/config"): [{"json": {"remote": ids["remote"], "job": "catalogue", "paused": True}}],
        ("POST", "/v1/admin/sync/uploads/retry"): [{"params": {"remote": ids["remote"]}}],
        ("GET", "/v1/admin/sync/uploads"): [{"params": {"remote": ids["remote"]}}],
        ("GET", "/v1/admin/sync/runs"): [{"params": {"remote": ids["remote"]}}],
        ("GET", "/v1/audit/records"): [{"params": {"subject": f"agent/{ids['agent_id']}"}}],
    }


ROUTES: list[Route] = sorted(
    (method.upper(), path)
    for path, methods in create_app(Settings()).openapi()["paths"].items()
    if path not in PUBLIC
    for method in methods
)
WITH_IDS = [route for route in ROUTES if "{" in route[1] and route not in BY_THEMSELVES]
ABSENT: Ids = {
    **dict.fromkeys(
        (
            "agent_id",
            "token_id",
            "rule_id",
            "approval_id",
            "request_id",
            "webhook_id",
            "delivery_id",
            "person_id",
            "waiver_id",
            "upload_id",
            "conflict_id",
            "instance_token_id",
        ),
        987654321,
    ),
    "workspace_id": 987654321,
    "invocation_id": str(uuid.uuid4()),
    "publisher": "local",
    "name": "nothing-here",
    "version": "9.9.9",
    "path": "nowhere.bin",
    "package": "nothing-here",
    "person": "nobody-here",
    "remote": "nowhere-here",
}


def path_of(path: str, ids: Ids) -> str:
    """With the ids put in; some routes call a remote ``name``, or an instance's token ``token_id``."""
    named = dict(ids)
    if path.startswith(("/v1/remotes/{name}", "/v1/admin/sync/live/{name}")):
        named["name"] = ids["remote"]
    if path.startswith("/v1/marketplace/tokens/"):
        named["token_id"] = ids["instance_token_id"]
    return path.format_map(named)


LISTS = [
    path
    for method, path in ROUTES
    if method == "GET" and "{" not in path and path != "/metrics" and ("GET", path) not in CATALOGUE
]
"""All but the published catalogue, and the figures for monitoring: those name the remotes of every workspace, for
operators alone."""
