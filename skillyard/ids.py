"""Identifiers as distinct types, so that one cannot be passed where another is meant."""

from __future__ import annotations

from typing import NewType

WorkspaceId = NewType("WorkspaceId", int)
PersonId = NewType("PersonId", int)
AgentId = NewType("AgentId", int)
SkillId = NewType("SkillId", int)
SkillVersionId = NewType("SkillVersionId", int)
InvocationId = NewType("InvocationId", str)
"""A UUIDv4 in text form: made by the caller's process before the row exists."""
ApprovalId = NewType("ApprovalId", int)
RuleId = NewType("RuleId", int)
PackageRequestId = NewType("PackageRequestId", int)
WaiverId = NewType("WaiverId", int)

BundleDigest = NewType("BundleDigest", str)
"""``sha256:`` and 64 hex digits: the digest of the deterministic archive of a skill's folder."""
LockDigest = NewType("LockDigest", str)
"""``sha256:`` and 64 hex digits over (ecosystem, target, name, version, artefact hashes) of a lock."""
EnvironmentKey = NewType("EnvironmentKey", str)
"""Content address of a materialised environment: lock digest, platform, interpreter."""
Epoch = NewType("Epoch", int)
"""The rules epoch: raised by every change of rules, approvals, maturity, skill state or advisories."""
