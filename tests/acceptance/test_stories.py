"""The stories' own machinery: breaks that fit the code as it is, documents and exit codes that say what happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance import __main__ as runner
from tests.acceptance.copies import ROOT, broken_copy, edited
from tests.acceptance.stage import Stage
from tests.acceptance.stories import STORIES
from tests.acceptance.story import Break, Edit, HarnessError, Story

EDIT = Edit("skillyard/__init__.py", '__version__ = "', '__version__ = "9')
BREAK = Break("the package says another version", (EDIT,), "it")


def told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, story: Story, *, broken: bool = False
) -> tuple[int, dict[str, object]]:
    """Exit code and document of one story told by the runner."""
    monkeypatch.setattr(runner, "STORIES", {story.name: story})
    code = runner.main([story.name], broken=broken)
    (line,) = capsys.readouterr().out.splitlines()
    document: dict[str, object] = json.loads(line)
    return code, document


@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
def test_what_breaks_a_story_fits_the_code_as_it_is(story: Story) -> None:
    """A break that no longer fits would make BREAK=1 fail for a reason that shows nothing."""
    for edit in story.breaks.edits:
        edited((ROOT / edit.file).read_text(), edit)


def test_every_story_that_the_project_promises_is_there() -> None:
    promised = "main-job known-answers failclosed approval ban audit-tamper limits leftovers hot-swap escape tenants"
    assert set(promised.split()) <= set(STORIES)


def test_a_story_that_goes_well_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(stage: Stage) -> None:
        stage.check("one and one is two", 1 + 1 == 2)
        stage.figures["sum"] = 2

    code, document = told(capsys, monkeypatch, Story("good", tell, BREAK))
    assert code == 0
    assert (document["name"], document["ok"]) == ("good", True)
    assert document["figures"] == {"sum": 2, "checks": 1, "seconds": document["figures"]["seconds"]}  # type: ignore[index]


def failing(stage: Stage) -> None:
    stage.check("it", False, "something else")


def unrelated(stage: Stage) -> None:
    stage.check("another thing", False, "something else")


def stumbling(_stage: Stage) -> None:
    raise ZeroDivisionError("a mistake in the story itself")


def blind(stage: Stage) -> None:
    stage.check("it", True)


@pytest.mark.parametrize(
    ("tell", "broken", "code", "ok"),
    [
        (failing, False, 1, False),
        (stumbling, False, 2, False),
        (failing, True, 1, False),
        (unrelated, True, 2, False),  # it failed, and not because of what was broken
        (stumbling, True, 2, False),
        (blind, True, 0, True),  # it did not notice
    ],
)
def test_the_exit_code_tells_how_a_story_ended(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tell: Callable[[Stage], None],
    broken: bool,
    code: int,
    ok: bool,
) -> None:
    ended, document = told(capsys, monkeypatch, Story("one", tell, BREAK), broken=broken)
    assert (ended, document["ok"]) == (code, ok)


def test_a_name_that_is_no_story_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["no-such-story"], broken=False) == 2
    assert capsys.readouterr().out == ""


def test_processes_of_a_broken_story_import_the_broken_copy() -> None:
    stage = Stage(BREAK)
    try:
        said = stage.python(stage.folder(), "import skillyard; print(skillyard.__version__)", "")
    finally:
        stage.close()
    assert said.startswith("9")


@pytest.mark.parametrize("old", ["no such text", "import"])
def test_a_break_that_does_not_fit_exactly_once_is_an_error(tmp_path: Path, old: str) -> None:
    stale = Break("nothing", (Edit("skillyard/governance/audit/check.py", old, ""),), "it")
    with pytest.raises(HarnessError, match="times, not once"):
        broken_copy(stale, tmp_path)


def test_a_break_that_leaves_no_python_is_an_error() -> None:
    with pytest.raises(HarnessError, match="no Python any more"):
        edited("x = 1\n", Edit("x.py", "x = 1", "x = ("))


def test_nothing_of_a_story_stays(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []

    def tell(stage: Stage) -> None:
        shut = stage.folder()
        (shut / "inside").mkdir()
        (shut / "inside").chmod(0o555)
        folders.append(shut)
        stage.check("it", False)

    told(capsys, monkeypatch, Story("messy", tell, BREAK))
    assert not folders[0].parent.exists()
