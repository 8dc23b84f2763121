"""Choosing among a package's wheels as an installer would; the standard's own implementation says what fits."""

from __future__ import annotations

import itertools

import pytest
from skillyard.sandbox.errors import WheelError
from skillyard.sandbox.tags import best_wheel, cache_tag
from skillyard.skills.lock import LockedArtefact, LockedPackage, Target

TARGET = Target("3.11", "x86_64-manylinux_2_28")
BEST_FIRST = (
    "alpha-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    "alpha-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "alpha-1.0-cp311-abi3-manylinux2014_x86_64.whl",
    "alpha-1.0-cp38-abi3-manylinux1_x86_64.whl",
    "alpha-1.0-py3-none-manylinux2014_x86_64.whl",
    "alpha-1.0-2-py3-none-any.whl",
    "alpha-1.0-1-py3-none-any.whl",
    "alpha-1.0-py3-none-any.whl",
)
UNFIT = (
    "alpha-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
    "alpha-1.0-cp311-cp311-manylinux_2_34_x86_64.whl",
    "alpha-1.0-cp311-cp311-musllinux_1_1_x86_64.whl",
    "alpha-1.0-cp311-cp311-manylinux_2_28_aarch64.whl",
    "alpha-1.0-cp311-cp311-win_amd64.whl",
    "alpha-1.0-cp311-cp311-macosx_11_0_arm64.whl",
    "alpha-1.0-cp311-cp311t-manylinux_2_28_x86_64.whl",
    "alpha-1.0-py2-none-any.whl",
)


def package(*filenames: str) -> LockedPackage:
    artefacts = tuple(LockedArtefact(name, f"{number:064x}", 1) for number, name in enumerate(filenames))
    return LockedPackage("alpha", "1.0", artefacts, (), direct=True)


@pytest.mark.parametrize(("better", "worse"), list(itertools.combinations(BEST_FIRST, 2)))
def test_the_better_wheel_is_taken_whatever_the_order(better: str, worse: str) -> None:
    assert best_wheel(package(better, worse), TARGET).filename == better
    assert best_wheel(package(worse, better, *UNFIT), TARGET).filename == better


@pytest.mark.parametrize("filename", UNFIT)
def test_a_wheel_for_something_else_is_never_taken(filename: str) -> None:
    with pytest.raises(WheelError, match=r"alpha 1\.0 has no wheel for Python 3\.11"):
        best_wheel(package(filename), TARGET)


def test_another_machine_takes_its_own() -> None:
    arm = Target("3.11", "aarch64-manylinux_2_28")
    assert best_wheel(package(BEST_FIRST[0], UNFIT[3]), arm).filename == UNFIT[3]


@pytest.mark.parametrize("target", [Target("3.11", "windows"), Target("three", "x86_64-manylinux_2_28")])
def test_a_target_nobody_has_an_image_for_is_refused(target: Target) -> None:
    with pytest.raises(WheelError):
        best_wheel(package(BEST_FIRST[0]), target)


def test_the_interpreter_is_named_as_bytecode_files_name_it() -> None:
    assert cache_tag(TARGET) == "cpython-311"
