"""Plug-ins: implementations of our seams, found by entry point (the "entry points" packaging specification).

An entry point names a factory that takes the ``Settings`` and returns the implementation. Our own implementations
are registered and loaded the same way as anybody else's. Nothing that a plug-in does while it is imported, made or
checked takes the caller down: what could not be used comes back as a ``FailedPlugin`` with a reason, and is logged
as an error. The caller decides what a failure means; a scanner that failed makes verdicts INDETERMINATE.

Plug-ins are trusted code that the operator installed: they run in this process, and importing one has no time
limit, because a thread cannot be stopped. Each is named in the log before it is imported, so that one that hangs is
known by name. Finding and loading blocks (disk, imports): do it once, at start, off the event loop.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import importlib_metadata
import structlog
from packaging.utils import canonicalize_name

from skillyard.conformance import mismatches
from skillyard.settings import Settings

T = TypeVar("T")

_OURS = "skillyard"
_PREFIX = "skillyard."
_MAX_REASON = 500

_log = structlog.get_logger(__name__)


class Group(StrEnum):
    """The entry-point groups, one a seam. Any other group that starts with ``skillyard.`` is a mistake."""

    SCANNERS = "skillyard.scanners"
    ADVISORIES = "skillyard.advisories"
    RESOLVERS = "skillyard.resolvers"
    ENVIRONMENTS = "skillyard.environments"
    SANDBOXES = "skillyard.sandboxes"
    REMOTES = "skillyard.remotes"
    EVENT_SINKS = "skillyard.event_sinks"


class PluginState(StrEnum):
    LOADED = "loaded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PluginRef:
    """Who offers what. ``target`` is the entry point's ``module:factory``; ``version`` is the distribution's."""

    group: str
    name: str
    distribution: str
    version: str
    target: str


@dataclass(frozen=True, slots=True)
class LoadedPlugin(PluginRef, Generic[T]):
    """A plug-in whose ``instance`` was checked against its protocol."""

    instance: T


@dataclass(frozen=True, slots=True)
class FailedPlugin(PluginRef):
    """A plug-in that cannot be used. ``reason`` is a sentence for the person who installed it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PluginStatus(PluginRef):
    """One line of ``skillyard doctor``; ``reason`` is set for a failed one."""

    state: PluginState
    reason: str | None


@dataclass(frozen=True, slots=True)
class Discovered(Generic[T]):
    """Everything registered for one group, sorted by name, then distribution."""

    group: str
    loaded: tuple[LoadedPlugin[T], ...]
    failed: tuple[FailedPlugin, ...]

    @property
    def instances(self) -> tuple[T, ...]:
        return tuple(plugin.instance for plugin in self.loaded)


class _RefusedError(Exception):
    """Why a plug-in cannot be used; never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    ref: PluginRef
    load: Callable[[], object]


def discover(group: str, protocol: type[T], settings: Settings) -> Discovered[T]:
    """Load every plug-in of ``group`` and check it against ``protocol``. Raises nothing but ``KeyboardInterrupt``."""
    return _discover(_registered(), group, protocol, settings)


def all_plugins(settings: Settings, protocols: Mapping[str, type]) -> tuple[PluginStatus, ...]:
    """The state of everything registered under ``skillyard.``, sorted by group and name, for ``doctor``.

    ``protocols`` maps each group that this release has a seam for to its protocol. Plug-ins of any other group are
    reported as failed: a scanner in ``skillyard.scanner`` would otherwise be missing without a word.
    """
    registered = _registered()
    statuses: list[PluginStatus] = []
    for group in sorted({*protocols, *(item.ref.group for item in registered)}):
        if group in protocols:
            found: Discovered[object] = _discover(registered, group, protocols[group], settings)
            statuses += [_status(plugin, None) for plugin in found.loaded]
            statuses += [_status(plugin, plugin.reason) for plugin in found.failed]
        else:
            reason = f"this release has no group {group}; it has {', '.join(sorted(protocols))}"
            statuses += [_status(_refuse(item.ref, reason), reason) for item in registered if item.ref.group == group]
    return tuple(sorted(statuses, key=_order))


def _discover(registered: Iterable[_Candidate], group: str, protocol: type[T], settings: Settings) -> Discovered[T]:
    candidates = [item for item in registered if item.ref.group == group]
    duplicates = _duplicates([item.ref for item in candidates])
    loaded: list[LoadedPlugin[T]] = []
    failed: list[FailedPlugin] = []
    for candidate in candidates:
        if candidate.ref in duplicates:
            failed.append(_refuse(candidate.ref, duplicates[candidate.ref]))
            continue
        try:
            loaded.append(_load(candidate, protocol, settings))
        except _RefusedError as refusal:
            failed.append(_refuse(candidate.ref, str(refusal)))
    return Discovered(group, tuple(sorted(loaded, key=_order)), tuple(sorted(failed, key=_order)))


def _load(candidate: _Candidate, protocol: type[T], settings: Settings) -> LoadedPlugin[T]:
    ref = candidate.ref
    _log.debug("plugin_loading", group=ref.group, plugin=ref.name, target=ref.target)
    factory = _attempt("its import failed", candidate.load)
    if not callable(factory):
        raise _RefusedError(f"{ref.target} is a {type(factory).__name__}, not a function that takes the settings")
    if inspect.iscoroutinefunction(factory):
        raise _RefusedError(f"{ref.target} is async; a factory is a plain function")
    instance = _attempt("its factory failed", lambda: factory(settings))
    problems = _attempt("checking it failed", lambda: mismatches(instance, protocol))
    if problems:
        raise _RefusedError(f"it does not match {protocol.__name__}: {'; '.join(problems)}")
    return LoadedPlugin(ref.group, ref.name, ref.distribution, ref.version, ref.target, instance)


def _attempt(what: str, action: Callable[[], T]) -> T:
    """Run foreign code; any way it ends but returning becomes a refusal.

    What it prints goes to standard error, because standard output may be carrying one JSON document.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return action()
    except KeyboardInterrupt:
        raise  # The person at the terminal wants us to stop; that is not the plug-in's failure.
    except BaseException as error:  # SystemExit while a plug-in is imported must not end the server either.
        # Formatted here, because a renderer of exceptions may print local variables, and those hold settings.
        _log.debug("plugin_traceback", what=what, traceback="".join(traceback.format_exception(error)))
        raise _RefusedError(f"{what}: {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # a foreign __str__ may raise anything, and the type still says something
        text = f"{type(error).__name__} (its message cannot be shown)"
    return text[:_MAX_REASON]


def _refuse(ref: PluginRef, reason: str) -> FailedPlugin:
    _log.error(
        "plugin_refused",
        group=ref.group,
        plugin=ref.name,
        distribution=ref.distribution,
        version=ref.version,
        reason=reason,
    )
    return FailedPlugin(ref.group, ref.name, ref.distribution, ref.version, ref.target, reason)


def _duplicates(refs: Iterable[PluginRef]) -> dict[PluginRef, str]:
    """The refs to refuse because their name is taken, each with the reason.

    Ours always wins. Between two others neither is evidently the one that is meant, so both are refused: path order
    must not choose which scanner a verdict rests on.
    """
    by_name: dict[str, list[PluginRef]] = defaultdict(list)
    for ref in refs:
        by_name[ref.name].append(ref)
    refused: dict[PluginRef, str] = {}
    for name, rivals in by_name.items():
        ours = [ref for ref in rivals if canonicalize_name(ref.distribution) == _OURS]
        if len(rivals) > 1:
            owners = " and ".join(sorted(f"{ref.distribution} ({ref.target})" for ref in rivals))
            losers = [ref for ref in rivals if ref not in ours] if len(ours) == 1 else rivals
            refused |= dict.fromkeys(losers, f"the name {name!r} is registered more than once: by {owners}")
    return refused


def _registered() -> tuple[_Candidate, ...]:
    """Every entry point under ``skillyard.``; of two distributions with one name the first on ``sys.path`` counts.

    Only what offers something is asked for its name and version: to read the metadata of everything that is installed
    would be a tenth of what a server's start costs.
    """
    seen: set[str] = set()
    candidates: list[_Candidate] = []
    for distribution in importlib_metadata.distributions():
        offered = [point for point in distribution.entry_points if point.group.startswith(_PREFIX)]
        if not offered:
            continue
        name, version = _identity(distribution)
        if canonicalize_name(name) in seen or _is_shadowed(distribution, name):
            continue
        seen.add(canonicalize_name(name))
        candidates += [
            _Candidate(PluginRef(point.group, point.name, name, version, point.value), point.load) for point in offered
        ]
    return tuple(candidates)


def _identity(distribution: importlib_metadata.IDistribution) -> tuple[str, str]:
    """Name and version, or the metadata folder's own path for a distribution whose metadata is damaged."""
    try:
        metadata = distribution.metadata
        return metadata["Name"], metadata["Version"]
    except (KeyError, OSError, UnicodeDecodeError):
        return str(distribution), "unknown"


def _is_shadowed(distribution: importlib_metadata.IDistribution, name: str) -> bool:
    """Whether one of the same name lies in a folder that comes earlier on ``sys.path``, whatever it offers."""
    first = next(iter(importlib_metadata.distributions(name=name)), distribution)
    return str(first.locate_file("")) != str(distribution.locate_file(""))


def _status(plugin: PluginRef, reason: str | None) -> PluginStatus:
    state = PluginState.LOADED if reason is None else PluginState.FAILED
    return PluginStatus(plugin.group, plugin.name, plugin.distribution, plugin.version, plugin.target, state, reason)


def _order(plugin: PluginRef) -> tuple[str, str, str]:
    return plugin.group, plugin.name, plugin.distribution
