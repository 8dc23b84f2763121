"""What a skill asks for is read with its unit, or refused naming the field; nothing is guessed."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import SkillError
from skillyard.skills.parse import parse_skill


def _requested(make_skill, key: str, value: str):
    return parse_skill(make_skill(f'name: demo\ndescription: d\nmetadata:\n  {key}: "{value}"')).requested


@pytest.mark.parametrize(
    ("value", "size"), [("512MiB", 512 * 2**20), ("1 GiB", 2**30), ("1.5GiB", 3 * 2**29), ("200MB", 200_000_000)]
)
def test_memory(make_skill, value, size):
    assert _requested(make_skill, "skillyard.memory", value).memory_bytes == size


@pytest.mark.parametrize(("value", "seconds"), [("60s", 60), ("1.5s", 1.5), ("500ms", 0.5), ("2m", 120), ("1h", 3600)])
def test_timeout(make_skill, value, seconds):
    assert _requested(make_skill, "skillyard.timeout", value).timeout_seconds == seconds


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ("none", ()),
        ("", ()),
        ("B.example, a.example", ("a.example", "b.example")),
        ("a.example a.example", ("a.example",)),
    ],
)
def test_network(make_skill, value, hosts):
    assert _requested(make_skill, "skillyard.network", value).network_hosts == hosts


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("memory", "512"),
        ("memory", "512 mib"),
        ("memory", "-1MiB"),
        ("memory", "0MiB"),
        ("memory", "9999999GiB"),
        ("memory", "1e9MiB"),
        ("memory", "inf"),
        ("timeout", "60"),
        ("timeout", "0s"),
        ("timeout", "25h"),
        ("timeout", "forever"),
        ("network", "https://a.example"),
        ("network", "a.example/path"),
        ("network", "*"),
        ("network", "-a.example"),
    ],
)
def test_bad_values_name_the_field(make_skill, key, value):
    with pytest.raises(SkillError) as caught:
        _requested(make_skill, f"skillyard.{key}", value)
    assert (caught.value.line, caught.value.field) == (5, f"metadata.skillyard.{key}")
