"""The alert rules that are shipped: Prometheus takes them, and each fires and clears."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "skillyard-sync.rules.yml"
TESTS = sorted(RULES.parent.glob("*.test.yml"))
DOCUMENTED = (ROOT / "docs" / "how-to" / "watch-the-sync.md", ROOT / "docs" / "reference" / "metrics.md")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)


def alerts() -> dict[str, str]:
    """Each alert with its expression."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_fires_when_it_should_and_clears() -> None:
    tested = promtool("test", "rules", *map(str, TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr
    outcomes: dict[str, str] = {}
    for case in (case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]):
        for check in case["alert_rule_test"]:
            name = check["alertname"]
            outcomes[name] = outcomes.get(name, "") + ("!" if check["exp_alerts"] else ".")
    assert outcomes.keys() == alerts().keys()
    for name, seen in outcomes.items():
        assert re.search(r"\.!\.", seen), f"{name} is not tested to be silent, to fire and to clear: {seen}"


def test_rules_whose_limits_were_lost_would_be_noticed(tmp_path: Path) -> None:
    for path in TESTS:
        (tmp_path / path.name).write_text(path.read_text())
    without = re.sub(r"(?:>|==) [0-9.* ]+$", "> 1e12", RULES.read_text(), flags=re.MULTILINE)
    (tmp_path / RULES.name).write_text(without)
    tested = promtool("test", "rules", *(str(tmp_path / path.name) for path in TESTS))
    assert tested.returncode == 1
    assert set(re.findall(r"alertname: (\w+)", tested.stdout + tested.stderr)) == alerts().keys()


def test_every_alert_is_documented_and_about_figures_that_there_are() -> None:
    how_to, reference = (page.read_text() for page in DOCUMENTED)
    assert [name for name in alerts() if f"`{name}`" not in how_to] == []
    for name, expression in alerts().items():
        figures = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", expression))
        assert [figure for figure in figures if f"`{figure}`" not in reference] == [], name
