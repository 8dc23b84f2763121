"""Names that are meant to be mistaken are told, and those that people gave their own packages mostly are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from skillyard.governance.package_names.distance import deletions, within
from skillyard.governance.package_names.lookalikes import popular
from skillyard.governance.package_names.popular import popular_names
from skillyard.governance.rules import canonical_name
from skillyard.skills.skill import Ecosystem

ORDINARY = Path(__file__).parents[2] / "assets" / "ordinary-names"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("reqeusts", "requests"),
        ("requestes", "requests"),
        ("urlib3", "urllib3"),
        ("djnago", "django"),
        ("pandsa", "pandas"),
        ("setup-tools", "setuptools"),
        ("beautifulsoup", "beautifulsoup4"),
        ("crypt0graphy", "cryptography"),
        ("cryptograpy", "cryptography"),
        ("tenserflow", "tensorflow"),
        ("dateutil-python", "python-dateutil"),
        ("requests-py", "requests"),
        ("py-numpy", "numpy"),
        ("python3-flask", "flask"),
        ("opencv-pyhton", "opencv-python"),
    ],
)
def test_a_name_that_is_meant_to_be_mistaken(name: str, meant: str) -> None:
    found = popular(Ecosystem.PYPI).lookalike(name)
    assert found is not None
    assert found.popular == meant


@pytest.mark.parametrize(
    ("name", "meant"),
    [("expresss", "express"), ("node-lodash", "lodash"), ("crossenv", "cross-env"), ("axois", "axios")],
)
def test_the_same_of_npm(name: str, meant: str) -> None:
    found = popular(Ecosystem.NPM).lookalike(name)
    assert found is not None
    assert found.popular == meant


def test_a_scope_that_looks_like_a_popular_one() -> None:
    found = popular(Ecosystem.NPM).lookalike("@bable/core")
    assert found is not None
    assert found.popular == "@babel/core"
    assert popular(Ecosystem.NPM).lookalike("@acme/core") is None


@pytest.mark.parametrize("ecosystem", list(Ecosystem))
def test_popular_names_themselves_and_known_ones_are_never_told(ecosystem: Ecosystem) -> None:
    names = popular(ecosystem)
    assert not [name for name in popular_names(ecosystem) if names.lookalike(name) is not None]
    assert names.lookalike("reqeusts", {"reqeusts"}) is None


@pytest.mark.parametrize("name", ["pytest-recording", "django-countries", "types-cachetools", "numbers", "pyqt5-sip"])
def test_plugins_and_short_neighbours_are_not_told(name: str) -> None:
    assert popular(Ecosystem.PYPI).lookalike(name) is None


@pytest.mark.parametrize("ecosystem", list(Ecosystem))
def test_few_ordinary_names_are_told(ecosystem: Ecosystem) -> None:
    """False alarms over real, less popular names that nobody chose with the rules in mind: below three in a hundred."""
    names = (ORDINARY / f"{ecosystem.value}.txt").read_text().split()
    told = [name for name in names if popular(ecosystem).lookalike(canonical_name(ecosystem, name)) is not None]
    assert len(names) > 250
    assert len(told) < 0.03 * len(names), told


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [
        ("abc", "abc", 0),
        ("abc", "acb", 1),
        ("abc", "ab", 1),
        ("abc", "abcd", 1),
        ("abc", "xbc", 1),
        ("abcd", "badc", 2),
    ],
)
def test_distance(one: str, other: str, slips: int) -> None:
    assert within(one, other, slips)
    assert slips == 0 or not within(one, other, slips - 1)
    assert not deletions(one, slips).isdisjoint(deletions(other, slips))
