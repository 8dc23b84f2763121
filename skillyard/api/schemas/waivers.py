"""Waivers, as clients send and see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from skillyard.api.schemas.packages import Reason
from skillyard.api.schemas.reports import PackageView
from skillyard.api.schemas.values import Body, FutureTime, Name, PackageName, View
from skillyard.governance.waivers.waiver import ADVISORY_MAX, RULE_MAX
from skillyard.skills.skill import Ecosystem

Version = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Advisory = Annotated[str, StringConstraints(min_length=1, max_length=ADVISORY_MAX)]
Rule = Annotated[str, StringConstraints(min_length=1, max_length=RULE_MAX)]
FileDigest = Annotated[str, StringConstraints(pattern="^(sha256:)?[0-9a-f]{64}$")]


class AddWaiverRequest(Body):
    """Let one finding be: an advisory in a package version (`ecosystem`, `name`, `version`, `advisory`), or a rule in a
    file (`rule`, `file_sha256`). `owner` names the person who answers for it; whoever asks, by default."""

    ecosystem: Ecosystem | None = None
    name: PackageName | None = None
    version: Version | None = None
    advisory: Advisory | None = None
    rule: Rule | None = None
    file_sha256: FileDigest | None = None
    reason: Reason
    expires_at: FutureTime
    owner: Name | None = None


class WaiverView(View):
    """One waiver; it counts until `expires_at`, or until it was revoked."""

    id: int
    package: PackageView | None
    advisory: str | None
    rule: str | None
    file_sha256: str | None
    reason: str
    owner: int
    owner_name: str
    expires_at: datetime
    created_at: datetime
    revoked_at: datetime | None
