"""What tests of a Skillyard as a remote use: one that lies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.marketplace_sync.remotes.liar import Liar, lying


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying() as found:
        yield found
