"""Plug-ins that do not load: the server starts all the same, and whatever needs them refuses with the reason."""

from __future__ import annotations

import pytest
from skillyard.governance.engines.names import ENGINES
from skillyard.governance.report import EvidenceState
from skillyard.marketplace_sync.remotes import remotes
from skillyard.plugins import PluginState
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.seams import (
    PROTOCOLS,
    PluginUnavailableError,
    load_seams,
    plugin_statuses,
    resolvers_by_ecosystem,
)
from skillyard.sandbox.images import base_target
from skillyard.sandbox.resolvers.uv import create_resolver
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem
from tests.runtime.conftest import Yard


def test_our_own_implementations_are_found_by_entry_point_and_all_load(settings: Settings) -> None:
    ours = [one for one in plugin_statuses(settings, remotes.PROTOCOLS) if one.distribution == "skillyard"]
    assert {one.group for one in ours} == {*PROTOCOLS, *remotes.PROTOCOLS}
    assert [one for one in ours if one.state is not PluginState.LOADED] == []
    assert load_seams(settings).missing_scanners == ()


def test_second_engines_run_where_the_settings_name_them_and_other_scanners_always(settings: Settings) -> None:
    def scanners(*engines: str) -> set[str]:
        return {one.name for one in load_seams(settings.model_copy(update={"engines": engines})).scanners}

    assert Settings.model_fields["engines"].default == ("pip-audit",)
    always = scanners()
    assert "advisories" in always
    assert always.isdisjoint(ENGINES)
    assert scanners("safety") - always == {"safety"}
    assert scanners(*ENGINES) - always == ENGINES


def test_a_second_engine_that_nobody_offers_is_missing_evidence(settings: Settings) -> None:
    (missing,) = load_seams(settings.model_copy(update={"engines": ("zeppelin",)})).missing_scanners
    assert (missing.scanner, missing.state) == ("zeppelin", EvidenceState.MISSING)


async def test_a_sandbox_plug_in_that_is_not_there_refuses_calls_by_name(settings: Settings, yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.runtime.close()
    async with await create_runtime(settings.model_copy(update={"sandbox": "zeppelin"})) as runtime:
        with pytest.raises(PluginUnavailableError, match="zeppelin is not installed"):
            await Yard(runtime, yard.admin, yard.second, yard.folder).invoke(bot)


async def test_of_two_resolvers_for_one_ecosystem_neither_is_chosen_by_chance(settings: Settings) -> None:
    both = resolvers_by_ecosystem([create_resolver(settings), create_resolver(settings)])
    with pytest.raises(PluginUnavailableError, match="more than one resolver for pypi"):
        await both[Ecosystem.PYPI].resolve((), base_target())
