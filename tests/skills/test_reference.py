"""The page on the skill format is complete: what the code knows is written there."""

from __future__ import annotations

from pathlib import Path

import pytest
from skillyard.skills import bundle, frontmatter, manifest, paths, request, requirement
from skillyard.skills.sources import archive

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "skill-format.md").read_text()

WORDS = [
    *(f"`{name}`" for name in paths.STATE_FOLDERS | paths.STATE_FILES),
    *(f"`skillyard.{key}`" for key in request.KEYS),
    *(f"`{field}`" for field in manifest.SPECIFIED + manifest.EXTENSIONS),
    f"| files | {bundle.MAX_FILES} |",
    f"| all files together | {bundle.MAX_BUNDLE_BYTES // 2**20} MiB |",
    f"| one file | {bundle.MAX_FILE_BYTES // 2**20} MiB |",
    f"| files and folders looked at | {bundle.MAX_VISITED} |",
    f"{paths.MAX_PATH_BYTES} bytes of UTF-8, {paths.MAX_PATH_PARTS} levels",
    f"more than {frontmatter.MAX_DEPTH} levels, more than {frontmatter.MAX_NODES} values",
    f"At most {requirement.MAX_PACKAGES} packages",
    f"at most {archive.MAX_ARCHIVE_BYTES // 2**20} MiB, a tar at most {archive.MAX_TAR_BYTES // 2**20} MiB",
]


@pytest.mark.parametrize("word", sorted(WORDS))
def test_the_page_says(word):
    assert word in PAGE
