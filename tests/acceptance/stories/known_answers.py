"""Packages whose published advisories are known: every one is found, no other is, and they block."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.osv import answer, questions
from tests.acceptance.people import People, answered, said
from tests.acceptance.skills import ASSETS, BUNDLED, folder_zip, made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

KNOWN: dict[str, Any] = json.loads((ASSETS / "known-answers.json").read_text())
FOUND = "every known advisory of the vulnerable skill is found, and no other"
QUESTIONS = 3000

# Asks the product's own index, in a process of its own: one question a line in, one list of ids a line out. Lists of
# names are no advisories, and the second reading does not read them.
_ASK = """
import json, sys
from pathlib import Path
from skillyard.governance.advisories.advisory import Applies
from skillyard.governance.advisories.index import AdvisoryIndex, index_path
from skillyard.governance.advisories.intake import LISTED_PREFIX
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem
index = AdvisoryIndex.open(index_path(Settings().home))
for line in sys.stdin:
    ecosystem, package, version = json.loads(line)
    found = index.matches(Ecosystem(ecosystem), package, version)
    affected = (match.advisory.id for match in found if match.applies is Applies.AFFECTED)
    print(json.dumps(sorted(one for one in affected if not one.startswith(LISTED_PREFIX))))
"""


def tell(stage: Stage) -> None:
    home = stage.home()
    people = People(stage.serve(home))
    refused = people.upload(folder_zip(BUNDLED / "legacy-fetch"))
    found = _ids(refused.json().get("report", {}).get("findings", []))
    wanted = {name: sorted(ids) for name, ids in KNOWN["legacy-fetch"].items()}
    stage.check(FOUND, {name: found.get(name, []) for name in wanted} == wanted, f"{found}, not {wanted}")
    stage.check("known advisories block", refused.status_code == 422, said(refused))
    report = refused.json()["report"]
    stage.check("the verdict is BLOCK", report["verdict"] == "BLOCK", str(report["verdict"]))
    stage.check(
        "a finding names what fixes it",
        all(finding["fixed_in"] for finding in report["findings"] if finding["package"]["name"] in wanted),
        str(report["findings"])[:600],
    )
    listed = answered(people.admin.get("/v1/skills"))["items"]
    stage.check("nothing of a blocked skill is installed", listed == [], str(listed))

    clean = answered(people.upload(made("clean", "def run():\n    return 1\n", python=KNOWN["clean"])))
    verdict = clean["version"]["report"]["verdict"]
    stage.check("the versions that fix them pass", verdict == "PASS", str(clean["version"]["report"]["findings"]))

    _ask_one_by_one(stage, home)
    _compare(stage, home)


def _ask_one_by_one(stage: Stage, home: Path) -> None:
    """Answers worked out by hand from the records, each for a reason."""
    answers = _asked(stage, home, [case["ask"] for case in KNOWN["single"]])
    for case, got in zip(KNOWN["single"], answers, strict=True):
        stage.check(f"{' '.join(case['ask'])}: {case['why']}", got == case["ids"], f"{got}, not {case['ids']}")


def _asked(stage: Stage, home: Path, asked: Sequence[Sequence[str]]) -> list[list[str]]:
    lines = stage.python(home, _ASK, "".join(json.dumps(list(question)) + "\n" for question in asked))
    return [json.loads(line) for line in lines.splitlines()]


def _compare(stage: Stage, home: Path) -> None:
    """The bundled data against a second reading of it, made from the OSV schema's text and nothing of ours."""
    asked = questions(random.Random(20241010), QUESTIONS)
    answers = _asked(stage, home, asked)
    wrong = [
        f"{question}: {got}, not {wanted}"
        for question, got in zip(asked, answers, strict=True)
        if got != (wanted := answer(question))
    ]
    stage.figures["compared"] = len(asked)
    stage.figures["affected"] = sum(1 for got in answers if got)
    stage.check("a second reading of the advisories agrees", not wrong, "; ".join(wrong[:5]))


def _ids(findings: list[Any]) -> dict[str, list[str]]:
    """Package → ids of the records that were found, whichever of them a finding is named after."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        ids = {finding["advisory"], *finding["aliases"]}
        found.setdefault(finding["package"]["name"], set()).update(one for one in ids if one.startswith("PYSEC-"))
    return {name: sorted(ids) for name, ids in found.items()}


STORY = Story(
    name="known-answers",
    tell=tell,
    breaks=Break(
        says="a version counts as affected only where it is listed, ranges are not read",
        edits=(
            Edit(
                "skillyard/governance/advisories/match.py",
                "if _inside(advisory.ecosystem, interval, place):",
                "if not interval:",
            ),
            Edit(
                "skillyard/governance/engines/evaluate.py",
                'return any(_in_range(one["events"], ecosystem, version) for one in ranges)',
                "return False",
            ),
        ),
        trips=FOUND,
    ),
)
