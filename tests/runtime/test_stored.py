"""What an older release stored still loads, and what this one stores comes back whole."""

from __future__ import annotations

import pytest
from skillyard.runtime.stored import StoredValueError, locks_from_json, locks_to_json
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, SourceBuild, Target
from skillyard.skills.skill import Ecosystem

BEFORE_BUILDS = (
    '[{"ecosystem":"pypi","target":{"python":"3.11","platform":"x86_64-manylinux_2_28"},"packages":[{"name":"six",'
    '"version":"1.16.0","artefacts":[{"filename":"six-1.16.0-py2.py3-none-any.whl","sha256":"'
    + "8" * 64
    + '","size":11053}],"required_by":[],"direct":true}]}]'
)


def test_a_lock_stored_before_there_were_builds_loads() -> None:
    (lock,) = locks_from_json(BEFORE_BUILDS)
    assert (lock.packages[0].name, lock.builds, lock.all_packages) == ("six", (), lock.packages)


def test_a_lock_with_builds_comes_back() -> None:
    archive = LockedPackage("a", "1", (LockedArtefact("a-1.tar.gz", "1" * 64, 5),), (), direct=True)
    tool = LockedPackage("b", "2", (LockedArtefact("b-2-py3-none-any.whl", "2" * 64, None),), (), direct=True)
    lock = Lock(Ecosystem.PYPI, Target("3.11", "x86_64-manylinux_2_28"), (archive,), (SourceBuild("a", (tool,)),))
    assert locks_from_json(locks_to_json((lock,))) == (lock,)


def test_something_else_is_an_error() -> None:
    with pytest.raises(StoredValueError):
        locks_from_json('[{"ecosystem":"pypi"}]')


def test_a_stored_lock_that_names_more_than_a_package_is_an_error() -> None:
    with pytest.raises(StoredValueError, match="is no name of a package"):
        locks_from_json(BEFORE_BUILDS.replace('"six"', '"six @ https://x.example/a.tar.gz\\n--no-binary six\\nsix"'))
