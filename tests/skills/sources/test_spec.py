"""What people type as a source means one thing, and local paths only where they are allowed."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import SourceSpecError
from skillyard.skills.sources.archive import ArchiveSource
from skillyard.skills.sources.folder import FolderSource
from skillyard.skills.sources.git import GitSource
from skillyard.skills.sources.spec import source_for


@pytest.mark.parametrize(
    ("spec", "url", "ref", "subfolder"),
    [
        ("https://host.example/o/r.git", "https://host.example/o/r.git", None, None),
        ("git+https://host.example/o/r.git@v1.0", "https://host.example/o/r.git", "v1.0", None),
        (
            "git+https://host.example/o/r@feature/x#subdirectory=skills/a",
            "https://host.example/o/r",
            "feature/x",
            "skills/a",
        ),
        ("ssh://git@host.example/o/r.git@main", "ssh://git@host.example/o/r.git", "main", None),
        ("git@host.example:o/r.git@main#subdirectory=a", "git@host.example:o/r.git", "main", "a"),
        ("git@host.example:o/r.git", "git@host.example:o/r.git", None, None),
    ],
)
def test_git_addresses(spec, url, ref, subfolder):
    source = source_for(spec, environment={}, allow_local=False)
    assert isinstance(source, GitSource)
    assert (source._url, source._ref, source._subfolder) == (url, ref, subfolder)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        ".",
        "/etc",
        "file:///etc",
        "git+file:///etc",
        "http://host.example/r",
        "https://host.example/r#egg=x",
        "-x",
        "a@b",
    ],
)
def test_what_is_not_allowed_or_not_understood_is_refused(spec):
    with pytest.raises(SourceSpecError):
        source_for(spec, environment={}, allow_local=False)


def test_paths_are_folders_or_archives_where_allowed(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    assert isinstance(source_for(str(tmp_path), environment={}, allow_local=True), FolderSource)
    assert isinstance(source_for(str(tmp_path / "a.zip"), environment={}, allow_local=True), ArchiveSource)
    with pytest.raises(SourceSpecError, match="neither a folder"):
        source_for(str(tmp_path / "none"), environment={}, allow_local=True)
