"""The engines that this release can drive."""

from __future__ import annotations

from typing import Final

from skillyard.skills.skill import Ecosystem

PIP_AUDIT: Final = "pip-audit"
SAFETY: Final = "safety"
NPM_AUDIT: Final = "npm-audit"
PRIMARY: Final = "advisories"
"""The scanner that matches in this process, which the others are compared with."""

ECOSYSTEMS: Final = {PIP_AUDIT: Ecosystem.PYPI, SAFETY: Ecosystem.PYPI, NPM_AUDIT: Ecosystem.NPM}
"""What each engine can look at."""
INSTALLED_BY_US: Final = frozenset({PIP_AUDIT, SAFETY})
"""Those that live in environments of ours; npm audit comes with the machine's own npm."""
ENGINES: Final = frozenset(ECOSYSTEMS)
"""Second engines, by their names as scanners. Each takes seconds where the primary takes milliseconds, so that an
installation waits for them, and a rescan of everything after an update of the index does not run them."""
