"""Conflicts are found between an outbox and a remote: the outpost of ``upwards``."""

from __future__ import annotations

from tests.marketplace_sync.upwards.conftest import outpost

__all__ = ["outpost"]
