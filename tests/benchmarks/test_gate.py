"""The gate: what counts as worse, what is forgiven once, and that nothing slips through for want of a figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.claims import CLAIMS
from benchmarks.compare import GATED, main
from benchmarks.gate import (
    BASELINE,
    Finding,
    better_of,
    compare,
    ratios,
    read_baseline,
    table,
    write_baseline,
)
from benchmarks.results import Result

MACHINE = {"load": 0.1, "cpu": "one"}


def result(
    p50: float, peers: dict[str, float], *, floor: float | None = None, better: str = "lower", **ours: float
) -> Result:
    return Result(
        name="warm_call",
        unit="ms",
        better=better,  # type: ignore[arg-type]
        ours={"p50": p50, **ours},
        peers=peers,
        floor=floor,
        rounds=1,
        machine=MACHINE,
        date="2026-01-01T00:00:00+00:00",
        commit="0",
    )


def failed(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.beside for finding in findings if finding.failed}


def test_a_machine_that_is_slower_for_everybody_passes() -> None:
    baseline = ratios(result(2.0, {"exec": 100.0}, floor=1.0))
    assert failed(compare(result(6.0, {"exec": 300.0}, floor=3.0), baseline)) == set()


@pytest.mark.parametrize(("p50", "expected"), [(2.9, set()), (3.1, {"exec", "floor"})])
def test_half_as_slow_again_as_before_beside_the_same_peer_fails(p50: float, expected: set[str]) -> None:
    baseline = ratios(result(2.0, {"exec": 100.0}, floor=1.0))
    assert failed(compare(result(p50, {"exec": 100.0}, floor=1.0), baseline)) == expected


def test_fewer_calls_a_second_are_worse_too() -> None:
    baseline = ratios(result(500.0, {"exec": 10.0}, floor=1000.0, better="higher"))
    assert failed(compare(result(300.0, {"exec": 10.0}, floor=1000.0, better="higher"), baseline)) == {"exec", "floor"}
    assert failed(compare(result(900.0, {"exec": 10.0}, floor=1000.0, better="higher"), baseline)) == set()


def test_what_is_not_measured_any_more_fails_and_what_is_new_does_not() -> None:
    findings = compare(result(2.0, {"run": 200.0}), {"exec": 50.0})
    assert failed(findings) == {"exec"}
    assert "run" in {finding.beside for finding in findings}


def test_a_failed_call_is_never_forgiven() -> None:
    bad = compare(result(2.0, {"restart": 1.0}, failed_calls=1, lost_calls=0), {"restart": 0.5})
    good = compare(result(2.0, {"restart": 1.0}, failed_calls=0, lost_calls=0), {"restart": 0.5})
    assert failed(bad) == failed(better_of(bad, good)) == failed(better_of(good, bad)) == {"failed_calls"}
    assert failed(better_of(good, good)) == set()


def test_a_disturbance_passes_and_a_regression_stays() -> None:
    baseline = {"exec": 50.0, "run": 100.0}
    slow = compare(result(4.0, {"exec": 100.0, "run": 200.0}), baseline)
    fast = compare(result(2.0, {"exec": 100.0, "run": 120.0}), baseline)
    assert failed(slow) == {"exec", "run"}
    assert failed(better_of(slow, fast)) == failed(better_of(fast, slow)) == {"run"}


def test_the_table_says_which_and_by_how_much_what_failed_first() -> None:
    findings = compare(result(4.0, {"exec": 200.0, "run": 100.0}), {"exec": 50.0, "run": 100.0})
    lines = table(findings).splitlines()
    assert lines[1].split() == ["warm_call", "run", "100", "25", "4.00", "FAILED"]
    assert lines[2].split() == ["warm_call", "exec", "50", "50", "1.00", "ok"]


def test_accepting_one_claim_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"claims": {"throughput": {"exec": 3.0}}, "machine": MACHINE, "date": "", "commit": ""}))
    write_baseline(path, [result(2.0, {"exec": 100.0}, floor=1.0)])
    assert read_baseline(path)["claims"] == {"throughput": {"exec": 3.0}, "warm_call": {"exec": 50.0, "floor": 0.5}}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"claims": {}}'])
def test_without_a_baseline_nothing_is_measured_and_nothing_passes(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"
    if text:
        path.write_text(text)
    assert main(["--baseline", str(path)]) == 2
    assert "bench-baseline" in capsys.readouterr().err


def test_a_claim_that_the_baseline_lacks_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, [result(2.0, {"exec": 100.0})])
    assert main(["--baseline", str(path), "throughput"]) == 2
    assert "throughput" in capsys.readouterr().err


def test_a_name_that_is_no_claim_is_wrong_usage() -> None:
    assert main(["no-such-claim"]) == 2


def test_the_committed_baseline_has_every_gated_claim_and_nothing_that_is_none() -> None:
    claims = read_baseline(BASELINE)["claims"]
    assert set(claims) == set(GATED) <= set(CLAIMS)
    assert all(claims[name] for name in GATED)
