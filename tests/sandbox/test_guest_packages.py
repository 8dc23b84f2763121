"""Real packages, imported once in the zygote, work in the children forked from it."""

from __future__ import annotations

from pathlib import Path

import orjson
from skillyard.sandbox.environments import create_store
from skillyard.sandbox.images import base_target
from skillyard.sandbox.outcome import OutcomeState
from skillyard.sandbox.resolvers.uv import create_resolver
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB
from skillyard.skills.skill import DeclaredPackage, Ecosystem, Origin

_SKILL = """
import numpy

def multiply():
    # Large enough for the linear algebra library to use its threads, which a fork does not carry over.
    return float((numpy.ones((600, 600)) @ numpy.ones((600, 600))).sum())

def draw():
    return [float(numpy.random.random()), float(numpy.random.default_rng().random())]

def scalar():
    return numpy.int64(3)
"""


async def test_numpy_computes_in_children_and_draws_other_numbers_in_each(start, call, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    numpy = DeclaredPackage(Ecosystem.PYPI, "numpy", "numpy<3", Origin("SKILL.md", 1, None))
    lock = await create_resolver(settings).resolve((numpy,), base_target())
    store = create_store(settings)
    environment = await store.materialise(lock)
    await store.close()
    (bundle := tmp_path / "bundle").mkdir(mode=0o755)
    (bundle / "math.py").write_text(_SKILL)
    running = await start(
        limits={"memory_bytes": 512 * MIB}, bundle=bundle, environment=environment.path, preload=("numpy",)
    )
    assert running.preload_failures == ()

    for _ in range(3):
        assert (await call(running, "math.py:multiply")).result_json == b"216000000.0"
    drawn = [orjson.loads((await call(running, "math.py:draw")).result_json) for _ in range(4)]
    assert all(len(set(numbers)) == 4 for numbers in zip(*drawn, strict=True))

    outcome = await call(running, "math.py:scalar")
    assert outcome.state is OutcomeState.FAILED
    assert outcome.reason == "the result is not JSON: Object of type int64 is not JSON serializable"
