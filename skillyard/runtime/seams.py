"""Which implementation serves which seam: everything that plug-ins provide, loaded once at start.

A plug-in that does not load never takes the process down. A scanner that does not load is missing evidence; a resolver,
environment store or sandbox that does not load is replaced by one that refuses every use with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from skillyard.errors import MachineError
from skillyard.governance.advisories.source import AdvisorySource
from skillyard.governance.engines.names import ENGINES
from skillyard.governance.report import Evidence, EvidenceState
from skillyard.governance.scanner import Scanner
from skillyard.plugins import (
    Discovered,
    FailedPlugin,
    Group,
    LoadedPlugin,
    PluginRef,
    PluginStatus,
    all_plugins,
    discover,
)
from skillyard.runtime.events import EventSink
from skillyard.sandbox.environment import Environment, EnvironmentStore, ProgressSink, silent
from skillyard.sandbox.resolver import Resolver
from skillyard.sandbox.sandbox import RunningSandbox, Sandbox, SandboxSpec
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, Target
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import DeclaredPackage, Ecosystem

T = TypeVar("T")

PROTOCOLS: Mapping[str, type] = {
    Group.SCANNERS: Scanner,
    Group.ADVISORIES: AdvisorySource,
    Group.RESOLVERS: Resolver,
    Group.ENVIRONMENTS: EnvironmentStore,
    Group.SANDBOXES: Sandbox,
    Group.EVENT_SINKS: EventSink,
}
"""The seams of this release, by entry-point group."""


class PluginUnavailableError(MachineError):
    """A plug-in that is needed did not load; ``skillyard doctor`` says why."""

    code = "plugin_unavailable"


@dataclass(frozen=True, slots=True)
class Seams:
    """Loaded implementations. ``missing_scanners`` is the evidence of those that did not load."""

    scanners: tuple[Scanner, ...]
    missing_scanners: tuple[Evidence, ...]
    resolvers: Mapping[Ecosystem, Resolver]
    environments: EnvironmentStore
    sandbox: Sandbox
    event_sinks: tuple[EventSink, ...]


def load_seams(settings: Settings) -> Seams:
    """Discover and load. Blocks: imports plug-ins."""
    scanners = discover(Group.SCANNERS, Scanner, settings)
    stores = discover(Group.ENVIRONMENTS, EnvironmentStore, settings)
    sandboxes = discover(Group.SANDBOXES, Sandbox, settings)
    return Seams(
        scanners=tuple(plugin.instance for plugin in scanners.loaded if _wanted(plugin, settings)),
        missing_scanners=(
            *(_missing(plugin) for plugin in scanners.failed if _wanted(plugin, settings)),
            *_unregistered(scanners, settings),
        ),
        resolvers=resolvers_by_ecosystem(discover(Group.RESOLVERS, Resolver, settings).instances),
        environments=_named(stores, settings.environment_store) or _NoStore(_why(stores, settings.environment_store)),
        sandbox=_named(sandboxes, settings.sandbox) or _NoSandbox(_why(sandboxes, settings.sandbox)),
        event_sinks=discover(Group.EVENT_SINKS, EventSink, settings).instances,
    )


def resolvers_by_ecosystem(found: Iterable[Resolver]) -> Mapping[Ecosystem, Resolver]:
    """One resolver for each ecosystem. Of two for one ecosystem neither is taken: chance must not choose."""
    resolvers: dict[Ecosystem, Resolver] = {}
    for one in found:
        ecosystem = one.ecosystem
        rival = resolvers.get(ecosystem)
        if rival is not None:
            names = " and ".join(sorted(type(each).__module__ for each in (rival, one)))
            resolvers[ecosystem] = _NoResolver(ecosystem, f"more than one resolver for {ecosystem.value}: {names}")
        else:
            resolvers[ecosystem] = one
    return resolvers


def plugin_statuses(settings: Settings, more: Mapping[str, type] | None = None) -> tuple[PluginStatus, ...]:
    """Every plug-in with its state, for ``doctor``. ``more`` are the seams of the rooms above. Blocks."""
    return all_plugins(settings, {**PROTOCOLS, **(more or {})})


def _wanted(plugin: PluginRef, settings: Settings) -> bool:
    """Second engines run where the settings name them; every other scanner that is installed runs."""
    return plugin.name not in ENGINES or plugin.name in settings.engines


def _unregistered(scanners: Discovered[Scanner], settings: Settings) -> Iterator[Evidence]:
    """A second engine that the settings name and nobody offers is evidence that is missing, not one fewer to ask."""
    offered = {plugin.name for plugin in (*scanners.loaded, *scanners.failed)}
    for name in settings.engines:
        if name not in offered:
            reason = "no scanner of that name is registered; reinstall Skillyard"
            yield Evidence(name, "", EvidenceState.MISSING, None, reason)


def _missing(plugin: FailedPlugin) -> Evidence:
    name = f"{plugin.name} ({plugin.distribution})"
    return Evidence(name, plugin.version, EvidenceState.MISSING, None, f"the scanner did not load: {plugin.reason}")


def _named(found: Discovered[T], name: str) -> T | None:
    plugins: tuple[LoadedPlugin[T], ...] = found.loaded
    return next((plugin.instance for plugin in plugins if plugin.name == name), None)


def _why(found: Discovered[T], name: str) -> str:
    failed = next((plugin for plugin in found.failed if plugin.name == name), None)
    return f"{found.group}: {name} {f'did not load: {failed.reason}' if failed else 'is not installed'}"


@dataclass(frozen=True, slots=True)
class _NoResolver:
    """Stands where one resolver should be, and says so at every use."""

    ecosystem: Ecosystem
    reason: str

    async def resolve(
        self, declared: tuple[DeclaredPackage, ...], target: Target, on_progress: ProgressSink = silent
    ) -> Lock:
        del declared, target, on_progress
        raise PluginUnavailableError(self.reason)


@dataclass(frozen=True, slots=True)
class _NoStore:
    """Stands where an environment store should be, and says so at every use."""

    reason: str

    async def materialise(self, lock: Lock, on_progress: ProgressSink = silent) -> Environment:
        del lock, on_progress
        raise PluginUnavailableError(self.reason)

    async def sweep(self) -> int:
        return 0

    async def close(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _NoSandbox:
    """Stands where a sandbox should be, and says so at every use."""

    reason: str

    async def start(self, spec: SandboxSpec, granted: Granted) -> RunningSandbox:
        del spec, granted
        raise PluginUnavailableError(self.reason)

    async def close(self) -> None:
        return
