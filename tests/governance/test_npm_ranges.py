"""npm ranges mean what they mean to npm: every answer is compared with the ``semver`` that npm itself brings."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from skillyard.governance.errors import RuleError
from skillyard.governance.npm_ranges import NpmRangeError, npm_range, npm_version
from skillyard.governance.rules import Match, matches, parse_specifier, parse_version
from skillyard.skills.skill import Ecosystem

_ORACLE = """
const semver = require(require.resolve('semver', {paths: [process.argv[1]]}))
const answer = ({range, version}) => ({
  version: semver.valid(version),
  range: semver.validRange(range),
  usual: semver.satisfies(version, range),
  every: semver.satisfies(version, range, {includePrerelease: true}),
})
require('readline').createInterface({input: process.stdin}).on('line', line => {
  console.log(JSON.stringify(answer(JSON.parse(line))))
})
"""


class Npm:
    """A running ``node`` with npm's own ``semver``."""

    def __init__(self) -> None:
        node, npm = shutil.which("node"), shutil.which("npm")
        assert node, "node is needed: scripts/setup installs it"
        assert npm, "npm is needed: scripts/setup installs it"
        folder = str(Path(npm).resolve().parent)
        self._process = subprocess.Popen(
            [node, "-e", _ORACLE, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def says(self, wanted: str, version: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"range": wanted, "version": version}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def npm() -> Iterator[Npm]:
    oracle = Npm()
    yield oracle
    oracle.close()


_number = st.sampled_from(["0", "0", "1", "1", "2", "3", "10"])
_open = st.sampled_from(["x", "X", "*"])
_word = st.sampled_from(["0", "1", "2", "11", "alpha", "beta", "rc", "rc-1", "-", "0a"])
_pre = st.lists(_word, min_size=1, max_size=3).map(".".join)
_build = st.sampled_from(["", "", "", "+build.5", "+0"])


@st.composite
def _versions(draw: st.DrawFn) -> str:
    core = ".".join(draw(_number) for _ in range(3))
    pre = draw(st.one_of(st.just(""), _pre.map("-{}".format)))
    return core + pre + draw(_build)


@st.composite
def _partials(draw: st.DrawFn) -> str:
    given_ = draw(st.integers(0, 3))
    written = draw(st.integers(given_, 3)) or 1
    parts = [draw(_number) if place < given_ else draw(_open) for place in range(written)]
    tail = draw(st.one_of(st.just(""), _pre.map("-{}".format))) + draw(_build) if written == 3 else ""
    return draw(st.sampled_from(["", "", "", "v"])) + ".".join(parts) + tail


_operator = st.sampled_from(["", "", "=", "<", "<=", ">", ">=", "~", "~>", "^", "^"])
_comparator = st.builds("{}{}{}".format, _operator, st.sampled_from(["", "", " "]), _partials()).map(str.strip)
_hyphen = st.builds("{} - {}".format, _partials(), _partials())
_alternative = st.one_of(st.lists(_comparator, min_size=1, max_size=3).map(" ".join), _hyphen, st.just(""))
_ranges = st.lists(_alternative, min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["||", " || ", " ||"]).map(lambda joint: joint.join(parts))
)
_thorough = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_thorough
@given(wanted=_ranges, version=_versions())
@example(wanted="* || 1.0.0-beta", version="1.0.0-beta")
@example(wanted=">=0.0.0 || 1.0.0-beta", version="1.0.0-beta")
@example(wanted="<0 || 1.2.3-0", version="1.2.3-0")
@example(wanted="<0.0.0-0", version="0.0.0-0")
@example(wanted="1.2.3 - 2.3.4", version="2.3.4-beta")
@example(wanted="1.2 - 2.3", version="1.2.0-beta")
@example(wanted="^0.0.3", version="0.0.3-beta")
@example(wanted="~1.2.3-beta.2", version="1.2.3-beta.10")
@example(wanted=">1.2", version="1.3.0-0")
@example(wanted="<=1.2", version="1.2.9")
def test_a_range_of_npm_s_grammar_means_the_same_as_to_npm(npm: Npm, wanted: str, version: str) -> None:
    says = npm.says(wanted, version)
    assert says["range"] is not None
    found, parsed = npm_version(version), npm_range(wanted)
    assert found is not None
    assert (parsed.admits(found), parsed.admits(found, prereleases=True)) == (says["usual"], says["every"])


@_thorough
@given(wanted=st.text(alphabet="0123.x*-+<>=~^| va,", max_size=20), version=_versions())
def test_whatever_is_taken_means_the_same_as_to_npm(npm: Npm, wanted: str, version: str) -> None:
    found = npm_version(version)
    assert found is not None
    try:
        parsed = npm_range(wanted)
    except NpmRangeError:
        return
    says = npm.says(wanted, version)
    assert says["range"] is not None
    assert (parsed.admits(found), parsed.admits(found, prereleases=True)) == (says["usual"], says["every"])


@_thorough
@given(st.one_of(_versions(), st.text(alphabet="0123.-+va", max_size=14)))
def test_what_is_a_version_is_one_to_npm(npm: Npm, text: str) -> None:
    found = npm_version(text)
    assert (None if found is None else str(found)) == npm.says("*", text)["version"]


@given(wanted=_ranges, version=_versions())
def test_a_ban_means_at_least_what_an_approval_of_the_same_range_means(wanted: str, version: str) -> None:
    approved = matches(Ecosystem.NPM, wanted, version)
    assert approved is not Match.YES or matches(Ecosystem.NPM, wanted, version, ban=True) is Match.YES


def test_a_ban_of_a_range_covers_its_prereleases_and_an_approval_does_not() -> None:
    assert matches(Ecosystem.NPM, "<2", "1.5.0-beta.1", ban=True) is Match.YES
    assert matches(Ecosystem.NPM, "<2", "1.5.0-beta.1") is Match.NO
    assert matches(Ecosystem.NPM, ">=1.5.0-beta.0 <2", "1.5.0-beta.1") is Match.YES


@given(_ranges)
def test_what_is_kept_of_a_range_is_taken_again_as_it_is(wanted: str) -> None:
    try:
        kept = parse_specifier(Ecosystem.NPM, wanted)
    except RuleError:
        return
    assert parse_specifier(Ecosystem.NPM, kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        *("latest", ">=1,<2", "==1.2.3", "=>1", "1.x.3", ">*", "<0.0.0-0", "1.2.3.4", "01.2.3", "npm:other@1", "~>"),
        *("^", "1 - 2 - 3", "9007199254740992.0.0", "^9007199254740991.0.0", "git+https://host/x", "1.2.3-01"),
        "\N{FULLWIDTH DIGIT ONE}.0.0",
    ],
)
def test_what_is_no_range_or_admits_nothing_is_refused_with_the_field(text: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse_specifier(Ecosystem.NPM, text)
    assert refused.value.field == "specifier"


@pytest.mark.parametrize("text", ["^1.2.3", "1.x", ">=1 <2", "*", "", "1.2", "1" * 300, "latest", "1.2.3 || 2.0.0"])
def test_an_exact_version_is_no_range(text: str) -> None:
    with pytest.raises(RuleError, match=r"^version: ") as refused:
        parse_version(Ecosystem.NPM, text)
    assert refused.value.field == "version"


@pytest.mark.parametrize("text", [">=1", "==1.0", "1.*", "", "1" * 300, "===1.0", "latest", "~=1.0"])
def test_nor_is_a_python_specifier(text: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse_version(Ecosystem.PYPI, text)
    assert refused.value.field == "version"


def test_exact_versions_get_their_usual_form() -> None:
    assert parse_version(Ecosystem.NPM, "v1.2.3+build") == "1.2.3"
    assert parse_version(Ecosystem.PYPI, " 1.0-RC.1 ") == "1.0rc1"
