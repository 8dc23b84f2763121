"""An allow list from files that people have anyway: exact versions, bound to files where the list has their hashes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from skillyard.governance.allow_list import approvals_of, read_allow_list
from skillyard.governance.decision import Maturity
from skillyard.governance.errors import RuleError
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.pylock import write_pylock
from skillyard.skills.skill import Ecosystem

NOW = datetime(2026, 6, 1, tzinfo=UTC)
A, B = "a" * 64, "b" * 64

REQUIREMENTS = f"""\
# made by a tool
Pandas==2.1.0 \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via -r in.txt
numpy[extra] == 1.26.4 ; python_version >= "3.9"

six===1.16.0
"""


def test_pinned_requirements_become_approvals_of_exactly_these_files() -> None:
    drafts = approvals_of(
        read_allow_list(REQUIREMENTS, file="requirements.txt"), min_maturity="SUPERVISED", reason="list", now=NOW
    )
    assert [(one.name, one.specifier, one.hashes) for one in drafts] == [
        ("pandas", "==2.1.0", frozenset({A, B})),
        ("numpy", "==1.26.4", frozenset()),
        ("six", "==1.16.0", frozenset()),
    ]
    assert {one.min_maturity for one in drafts} == {Maturity.SUPERVISED}


def test_a_lock_becomes_approvals_bound_to_its_files() -> None:
    files = (
        LockedArtefact("left_pad-1.0-py3-none-any.whl", A, 1),
        LockedArtefact("left_pad-1.0-cp311-cp311-linux_x86_64.whl", B, 1),
    )
    package = LockedPackage("left-pad", "1.0", files, (), direct=True)
    text = write_pylock(Lock(Ecosystem.PYPI, Target("3.11", "x86_64-manylinux_2_28"), (package,)))
    (found,) = read_allow_list(text, file="pylock.toml")
    assert (found.name, found.version, found.hashes) == ("left-pad", "1.0", frozenset({A, B}))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("six==1.0\npandas>=2\n", 2),
        ("six\n", 1),
        ("six==1.*\n", 1),
        ("six==1.0,<2\n", 1),
        ("# nothing\n\nsix @ https://host/six.whl\n", 3),
        ("--index-url https://host/simple\nsix==1.0\n", 1),
        ("-r other.txt\n", 1),
        ("six==1.0 --hash=md5:abc\n", 1),
        ("six===not a version\n", 1),
        ("\n# nothing\n", None),
    ],
)
def test_what_is_not_one_exact_version_is_refused_with_its_line(text: str, line: int | None) -> None:
    with pytest.raises(RuleError) as refused:
        read_allow_list(text, file="requirements.txt")
    assert (refused.value.file, refused.value.line) == ("requirements.txt", line)


_HEAD = "lock-version = '1.0'\ncreated-by = 'x'\n"
_SIX = f"{_HEAD}[[packages]]\nname = 'six'\nversion = '1.0'\n"
_GIT = "vcs = {type = 'git', url = 'https://host/x', commit-id = 'abc'}\n"
_WEAK = "wheels = [{name = 'six-1.0-py3-none-any.whl', url = 'https://host/x.whl', hashes = {md5 = 'abc'}}]\n"


@pytest.mark.parametrize("text", ["not toml", _HEAD, _SIX + _GIT, _SIX + _WEAK])
def test_a_lock_that_is_none_or_holds_what_no_index_has_is_refused(text: str) -> None:
    with pytest.raises(RuleError) as refused:
        read_allow_list(text, file="pylock.toml")
    assert refused.value.file == "pylock.toml"
