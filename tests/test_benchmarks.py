"""What benchmarks tell: percentiles that are percentiles, results that replace their own kind only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.claims import CLAIMS
from benchmarks.measure import percentile, typical
from benchmarks.page import PAGE, with_figures
from benchmarks.results import RESULTS, Result, read, write

ROOT = Path(__file__).resolve().parent.parent


def result(name: str, p50: float, *, better: str = "lower", **peers: float) -> Result:
    return Result(
        name=name,
        unit="ms",
        better=better,  # type: ignore[arg-type]
        ours={"p50": p50},
        peers=peers,
        floor=1.0,
        rounds=3,
        machine={},
        date="2026-01-01T00:00:00+00:00",
        commit="0",
    )


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_one_disturbed_round_does_not_decide() -> None:
    assert typical([[1.0, 1.0], [2.0, 2.0], [900.0, 900.0]], 0.5) == 2.0


def test_a_ratio_says_how_many_times_better_ours_is() -> None:
    assert result("a", 2.0, slow=10.0, fast=1.0).ratio() == {"slow": 5.0, "fast": 0.5}
    assert result("a", 300.0, better="higher", slow=10.0, fast=600.0).ratio() == {"slow": 30.0, "fast": 0.5}


def test_a_new_result_replaces_the_old_one_of_its_name_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for one in (result("b", 1.0), result("a", 2.0), result("b", 3.0)):
        write(one, path)
    assert [(entry["name"], entry["ours"]["p50"]) for entry in read(path)] == [("a", 2.0), ("b", 3.0)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_no_benchmark_is_wrong_usage() -> None:
    assert main(["no-such-claim"]) == 2


def test_what_is_published_has_its_shape_and_is_explained() -> None:
    fields = {"name", "unit", "better", "ours", "peers", "ratio", "floor", "date", "commit", "machine"}
    page = (ROOT / "docs/benchmarks.md").read_text()
    for entry in json.loads(RESULTS.read_text()):
        assert fields <= set(entry), entry["name"]
        assert entry["name"] in CLAIMS
        assert f"| `{entry['name']}` |" in page, f"docs/benchmarks.md does not explain {entry['name']}"


def test_the_page_has_the_figures_of_the_results() -> None:
    text = PAGE.read_text()
    assert text == with_figures(text, read()), "run `make bench`"


def test_a_page_without_its_marks_is_not_written_over() -> None:
    with pytest.raises(ValueError, match="marks"):
        with_figures("# Benchmarks\n", [])
