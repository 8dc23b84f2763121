"""Write the names of popular packages that ship with the project (``governance/package_names``).

Two sources, both facts: lists kept by hand in ``scripts/popular``, and names that the embedded advisory snapshot has
many records about, because what many people use is what many people look at. Names that are known to be malicious are
left out. Run it again after either has changed: ``python scripts/make_popular_names.py``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.package_names.popular import FOLDER
from skillyard.governance.rules import canonical_name
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow

HAND = Path(__file__).parent / "popular"
ENOUGH = {Ecosystem.PYPI: 5, Ecosystem.NPM: 5}
"""Records about a package from which on it counts as popular."""


def kept_by_hand(ecosystem: Ecosystem) -> set[str]:
    lines = (HAND / f"{ecosystem.value}.txt").read_text().splitlines()
    words = [word for line in lines if not line.startswith("#") for word in line.split()]
    return {canonical_name(ecosystem, word) for word in words}


def written_about(index: Path, ecosystem: Ecosystem) -> set[str]:
    query = (
        "SELECT package FROM advisory WHERE ecosystem = ? GROUP BY package "
        "HAVING count(*) >= ? AND sum(id LIKE 'MAL-%') = 0"
    )
    with closing(sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True)) as connection:
        return {name for (name,) in connection.execute(query, (ecosystem.value, ENOUGH[ecosystem]))}


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        index = asyncio.run(ensure_index(Path(home), now=utcnow()))
        for ecosystem in Ecosystem:
            names = kept_by_hand(ecosystem) | written_about(index, ecosystem)
            head = f"# Popular names on {ecosystem.value}: made by scripts/make_popular_names.py, not by hand.\n"
            (FOLDER / f"{ecosystem.value}.txt").write_text(head + "".join(f"{name}\n" for name in sorted(names)))
            sys.stdout.write(f"{ecosystem.value}: {len(names)} names\n")


if __name__ == "__main__":
    main()
