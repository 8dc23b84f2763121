"""Over hundreds of versions at the edges of advisories, three programs say the same, or the cause is known."""

from __future__ import annotations

import pytest
from skillyard.governance.advisories.index import IndexFile
from skillyard.governance.engines.names import ECOSYSTEMS
from skillyard.skills.skill import Ecosystem
from tests.governance.engines.differential import compare, pairs, scanners


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["pip-audit", "safety", "npm-audit"])
async def test_an_engine_agrees_with_our_matching_or_the_cause_is_known(index: IndexFile, engine: str) -> None:
    (scanner,) = [one for one in scanners(index) if one.name == engine]
    asked = pairs(ECOSYSTEMS[engine])
    compared = await compare(scanner, index.current(), asked)
    unexplained = [(str(one.pin), one.ours, one.theirs) for one in compared.differences if not one.cause]
    assert unexplained == []
    assert compared.pairs >= (500 if ECOSYSTEMS[engine] is Ecosystem.PYPI else 400)
    assert min(compared.hits, compared.pairs - compared.hits) >= 90
    assert len(compared.differences) <= compared.pairs // 100
