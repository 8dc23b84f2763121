"""What tests of several rooms of the marketplace stand on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from skillyard.governance.advisories.index import index_path
from skillyard.governance.advisories.update import ensure_index
from skillyard.times import utcnow


@pytest.fixture(scope="session")
def advisories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded index, laid out once for all homes."""
    home = tmp_path_factory.mktemp("advisories")
    asyncio.run(ensure_index(home, now=utcnow()))
    return index_path(home)
