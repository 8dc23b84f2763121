"""One folder scanned in this process: every view through every detector, and what that adds up to.

``worker`` runs this where a hostile skill can break nothing; nothing else should call it on other people's files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from skillyard.governance.report import CapabilityUse, Finding, Verdict, shown
from skillyard.governance.static.combine import adjusted
from skillyard.governance.static.decode import Unfolding
from skillyard.governance.static.gap import Gap, GapError
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.limits import MAX_HITS
from skillyard.governance.static.python_detect import analyse
from skillyard.governance.static.registry import DETECTORS, WHOLE
from skillyard.governance.static.scanned import Scanned
from skillyard.governance.static.view import Language
from skillyard.governance.static.walk import Walked, walk

_ROUNDS: Final = 4
_EVERYDAY: Final = {
    "SKILL.md": "---\nname: a\ndescription: b\n---\n# A\n\n```sh\ncurl -O https://example.com/a\n```\n<!-- c -->\n",
    "scripts/a.py": "import os\nimport requests\nprint(requests.get('https://example.com'), os.environ['A'])\n",
    "scripts/a.sh": '#!/bin/sh\nset -eu\necho "$1" | sed s/a/b/ > out.txt\n',
    "scripts/a.js": "const fs = require('fs');\nconsole.log(fs.readFileSync(process.argv[2], 'utf8'));\n",
    "package.json": '{"name": "a", "scripts": {"test": "node a.js"}}\n',
}
_MOST_PLACES: Final = 5
"""Findings of one rule in one file; the last of them says that there are more."""


def scan_folder(folder: Path) -> Scanned:
    """Never raises for what a skill contains, but may run into the limits of its process."""
    return _look(walk(folder))


def warm_up() -> None:
    """Let everything be loaded that detectors load at their first use, so that a scan's own process finds it there."""
    unfolding = Unfolding()
    for path, text in _EVERYDAY.items():
        unfolding.add_file(path, text.encode())
    _look(Walked(tuple(_EVERYDAY), (), unfolding))


def _look(walked: Walked) -> Scanned:
    seen, gaps = _python(walked)
    views = tuple(walked.unfolding.views)
    for view in views:
        for detect in DETECTORS:
            _collect(seen, gaps, view.file, partial(detect, view))
    for whole in WHOLE:
        _collect(seen, gaps, "", partial(whole, views, tuple(seen)))
    if len(seen) > MAX_HITS:
        gaps.append(Gap("", f"more than {MAX_HITS} places to report"))
    hits = [one for one in seen if isinstance(one, Hit)]
    return Scanned(
        findings=_findings(adjusted(views, hits)),
        capabilities=_capabilities(seen),
        gaps=tuple(dict.fromkeys([*walked.gaps, *walked.unfolding.gaps, *gaps])),
    )


def _python(walked: Walked) -> tuple[list[Shown], list[Gap]]:
    """The analysis of Python, and in turn of the code that it puts together or decodes."""
    unfolding = walked.unfolding
    seen: list[Shown] = []
    gaps: list[Gap] = []
    looked_at = 0
    for _ in range(_ROUNDS):
        fresh = tuple(unfolding.views[looked_at:])
        looked_at += len(fresh)
        analysed = analyse(fresh, walked.files)
        seen.extend(analysed.shown)
        gaps.extend(analysed.gaps)
        for view, line, how, text, language in analysed.found:
            unfolding.add_text(view, how, line, text, language)
    gaps.extend(
        Gap(view.file, f"code that makes code more than {_ROUNDS} times over")
        for view in unfolding.views[looked_at:]
        if view.language is Language.PYTHON
    )
    return [*unfolding.shown, *seen], gaps


def _collect(seen: list[Shown], gaps: list[Gap], file: str, detect: Callable[[], Iterable[Shown]]) -> None:
    try:
        seen.extend(detect())
    except GapError as gap:
        gaps.append(Gap(file, gap.reason))
    except RecursionError:
        gaps.append(Gap(file, "nested too deep to be looked at"))


def _findings(hits: Iterable[Hit]) -> tuple[Finding, ...]:
    found: dict[tuple[str, str, int], Finding] = {}
    counts: dict[tuple[str, str], int] = {}
    for hit in sorted(hits, key=_strongest_first):
        key = (hit.rule.id, hit.view.file, hit.line)
        place = (hit.rule.id, hit.view.file)
        if key in found or counts.get(place, 0) >= _MOST_PLACES:
            continue
        counts[place] = counts.get(place, 0) + 1
        found[key] = _finding(hit)
    return tuple(found.values())


def _strongest_first(hit: Hit) -> tuple[int, str, str, int, int]:
    return -hit.counts, hit.rule.id, hit.view.file, hit.line, len(hit.view.via)


def _finding(hit: Hit) -> Finding:
    rule = hit.rule
    via = f" (found in: {', '.join(hit.view.via)})" if hit.view.via else ""
    detail = f" {hit.detail}" if hit.detail else ""
    return Finding(
        rule=rule.id,
        level=hit.counts,
        severity=rule.severity,
        message=shown(f"{rule.title}{detail}{via}."),
        file=hit.view.file,
        line=hit.line,
        confidence=hit.confidence,
        evidence=shown(hit.evidence),
        why=rule.why,
        fix=rule.fix,
    )


def _capabilities(seen: Iterable[Shown]) -> tuple[CapabilityUse, ...]:
    uses = {
        (one.view.file, one.line, one.capability): CapabilityUse(
            one.capability, one.view.file, one.line, shown(one.evidence)
        )
        for one in seen
        if not isinstance(one, Hit)
    }
    return tuple(uses[key] for key in sorted(uses))[:MAX_HITS]


def verdict_of(scanned: Scanned) -> Verdict:
    """What the findings and gaps of one scan mean by the rules' own levels."""
    floor = Verdict.INDETERMINATE if scanned.gaps else Verdict.PASS
    return max([floor, *(finding.level for finding in scanned.findings)])
