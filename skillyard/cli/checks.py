"""What ``doctor`` looks at. Looking changes nothing: no folder is made, no database migrated, no image built."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from skillyard.cli.diagnosis import Check, Diagnosis, State
from skillyard.cli.stock_checks import stock_checks
from skillyard.database import Kind, locate, schema_state
from skillyard.errors import MachineError, SkillyardError
from skillyard.governance.advisories.index import AdvisoryIndex, index_path
from skillyard.governance.engines.environments import EngineEnvironment, engine_environment
from skillyard.governance.engines.names import INSTALLED_BY_US
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError
from skillyard.governance.scanners.npm_audit import npm_program
from skillyard.marketplace_sync.remotes import remotes
from skillyard.plugins import Group, PluginState, PluginStatus
from skillyard.runtime.inventory import Stock
from skillyard.runtime.seams import plugin_statuses
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.images import BaseImages
from skillyard.sandbox.index import uv_program
from skillyard.settings import Settings
from skillyard.times import utcnow

ENGINE_SECONDS = 10
_UV_SECONDS = 10.0
_LITTLE_DISK = 2 * 1024**3
"""Bytes; the base image and the packages of a larger skill need about this."""


async def diagnose(settings: Settings) -> Diagnosis:
    """Every check, in the order in which things are needed."""
    engine = Engine(address=settings.docker_host, timeout=ENGINE_SECONDS)
    try:
        answering = await _engine(engine, settings)
        up = answering.state is not State.MISSING
        on_engine = [await _image(engine, settings)] if up else []
        async with Stock(settings, engine=engine) as stock:
            held = await stock_checks(stock, engine_up=up)
    finally:
        await engine.close()
    plugins = await asyncio.to_thread(plugin_statuses, settings, remotes.PROTOCOLS)
    checks = (
        await asyncio.to_thread(_home, settings),
        await asyncio.to_thread(_uv),
        answering,
        *on_engine,
        await _database(settings),
        *held,
        await asyncio.to_thread(_advisories, settings),
        *await asyncio.to_thread(_second_engines, settings),
        _plugins(plugins, settings),
    )
    return Diagnosis(checks, plugins)


def _home(settings: Settings) -> Check:
    home = settings.home
    there = home if home.exists() else next(parent for parent in home.parents if parent.exists())
    free = shutil.disk_usage(there).free
    facts: dict[str, object] = {"path": str(home), "exists": home.exists(), "free_bytes": free}
    text = f"{home}: {free / 1024**3:.1f} GiB free"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        hint = "Make it writable, or set SKILLYARD_HOME to a folder that is."
        return Check("home folder", State.MISSING, f"{there} is not a writable folder", hint, facts)
    if free < _LITTLE_DISK:
        return Check("home folder", State.WARNING, text, "Packages and images may not fit: free some space.", facts)
    return Check("home folder", State.OK, text if home.exists() else f"{text}; made at the first use", facts=facts)


def _uv() -> Check:
    try:
        program = uv_program()
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_UV_SECONDS, check=True, env={}
        )
    except (MachineError, OSError, subprocess.SubprocessError) as error:
        return Check("uv", State.MISSING, str(error), "Reinstall the Python package uv beside Skillyard.")
    return Check("uv", State.OK, said.stdout.strip(), facts={"program": program})


def _second_engines(settings: Settings) -> tuple[Check, ...]:
    installed = [name for name in settings.engines if name in INSTALLED_BY_US]
    checks = tuple(_second_engine(engine_environment(settings, name)) for name in installed)
    return checks if set(installed) == set(settings.engines) else (*checks, _npm(npm_program(settings)))


def _npm(program: Path | None) -> Check:
    if program is not None:
        return Check("npm-audit", State.OK, str(program), facts={"program": str(program)})
    hint = "Install npm, or leave npm-audit out of SKILLYARD_ENGINES."
    return Check("npm-audit", State.MISSING, "there is no npm, so verdicts on npm packages are INDETERMINATE", hint)


def _second_engine(engine: EngineEnvironment) -> Check:
    facts: dict[str, object] = {"version": engine.version, "folder": str(engine.folder)}
    if engine.is_there:
        return Check(engine.name, State.OK, f"{engine.version} in {engine.folder}", facts=facts)
    hint = f"Run: skillyard engines install {engine.name} (or leave it out of SKILLYARD_ENGINES)."
    text = f"{engine.version} is not installed, so verdicts on Python packages are INDETERMINATE"
    return Check(engine.name, State.MISSING, text, hint, facts)


async def _engine(engine: Engine, settings: Settings) -> Check:
    try:
        version, info = await engine.version(), await engine.info()
    except SkillyardError as error:
        hint = "Start Docker (systemctl start docker, or dockerd), or set SKILLYARD_DOCKER_HOST to an engine."
        return Check("Docker Engine", State.MISSING, str(error), hint)
    runtimes = sorted(info.get("Runtimes") or {})
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    facts: dict[str, object] = {
        "version": version.get("Version"),
        "api_version": version.get("ApiVersion"),
        "os": version.get("Os"),
        "architecture": version.get("Arch"),
        "cgroup_version": info.get("CgroupVersion"),
        "storage_driver": info.get("Driver"),
        "runtimes": runtimes,
        "security": options,
    }
    seccomp = any("name=seccomp" in option for option in options)
    detail = (
        f"{facts['version']} ({facts['os']}/{facts['architecture']}), cgroup v{facts['cgroup_version']}, "
        f"storage {facts['storage_driver']}, runtimes {', '.join(runtimes)}, {'' if seccomp else 'NO '}seccomp"
    )
    if settings.runtime_name is not None and settings.runtime_name not in runtimes:
        hint = "Install that OCI runtime for the engine, or unset SKILLYARD_RUNTIME_NAME."
        return Check("Docker Engine", State.MISSING, f"it has no runtime {settings.runtime_name!r}", hint, facts)
    if not seccomp:
        hint = "Sandboxes then have the guest's own filter alone: run an engine and a kernel with seccomp."
        return Check("Docker Engine", State.WARNING, detail, hint, facts)
    return Check("Docker Engine", State.OK, detail, facts=facts)


async def _image(engine: Engine, settings: Settings) -> Check:
    try:
        present = await BaseImages(engine=engine, settings=settings).present()
    except SkillyardError as error:
        return Check("base image", State.MISSING, str(error))
    facts: dict[str, object] = {"reference": present, "source": settings.base_image_source}
    if present is not None:
        return Check("base image", State.OK, present, facts=facts)
    if settings.base_image_source == "pull" or shutil.which("mmdebstrap"):
        return Check("base image", State.OK, "made at the first use", facts=facts)
    hint = "On Debian and Ubuntu: apt-get install mmdebstrap."
    if settings.base_image_source == "debian":
        return Check("base image", State.MISSING, "there is none, and mmdebstrap is not installed", hint, facts)
    text = f"there is none yet, and without mmdebstrap only {settings.python_base_image} can be pulled"
    return Check("base image", State.WARNING, text, hint, facts)


async def _database(settings: Settings) -> Check:
    try:
        location = locate(settings.database)
        state = await schema_state(settings.database)
    except MachineError as error:
        return Check("database", State.MISSING, str(error), _hint(settings))
    path = str(location.path) if location.kind is Kind.SQLITE else None
    facts: dict[str, object] = {"kind": location.kind.value, "at": location.shown, "path": path}
    if state is None:
        detail = f"{location.shown}: made at the first use"
        return Check("database", State.OK, detail, facts={**facts, "engine": None, "schema": None})
    facts |= {"engine": state.engine, "schema": state.found, "needed": state.wanted}
    detail = f"{state.engine}, {location.shown}: schema {state.found or 'none'}"
    if state.found is None and location.kind is Kind.POSTGRESQL:
        return Check("database", State.OK, f"{detail}, made at the first start", facts=facts)
    if not state.current:
        text = f"{detail}, migrated to {state.wanted} at the next start"
        return Check("database", State.WARNING, text, "Back it up before, if what it holds matters.", facts)
    return Check("database", State.OK, detail, facts=facts)


def _hint(settings: Settings) -> str | None:
    if settings.database_url is None:
        return None
    return "See SKILLYARD_DATABASE_URL, and docs/how-to/use-postgresql.md for a server."


def _advisories(settings: Settings) -> Check:
    try:
        found = AdvisoryIndex.open(index_path(settings.home)).status()
    except AdvisoryIndexMissingError:
        return Check(
            "advisories", State.OK, "none yet; the snapshot that ships with Skillyard is taken at the first use"
        )
    except AdvisoryIndexError as error:
        return Check("advisories", State.MISSING, str(error), "Run: skillyard advisories update")
    bases = [one for one in found.datasets if one.is_base]
    ages = [(utcnow() - one.data_date).days for one in bases]
    text = "; ".join(
        f"{one.ecosystem.value}: {one.advisories} advisories of {one.data_date:%Y-%m-%d} ({age} days old)"
        for one, age in zip(bases, ages, strict=True)
    )
    datasets = [
        {"ecosystem": one.ecosystem.value, "data_date": one.data_date, "advisories": one.advisories} for one in bases
    ]
    facts: dict[str, object] = {"fingerprint": found.fingerprint, "datasets": datasets}
    if max(ages) > settings.advisories_max_age_days:
        hint = "A server's verdicts are INDETERMINATE until: skillyard advisories update"
        return Check("advisories", State.WARNING, text, hint, {**facts, "stale": True})
    return Check("advisories", State.OK, text, facts={**facts, "stale": False})


def _plugins(found: tuple[PluginStatus, ...], settings: Settings) -> Check:
    """A scanner that does not load makes every verdict INDETERMINATE; without a store or sandbox nothing runs."""
    chosen = {(Group.ENVIRONMENTS, settings.environment_store), (Group.SANDBOXES, settings.sandbox)}
    failed = [one for one in found if one.state is PluginState.FAILED]
    absent = [f"{group}: {name}" for group, name in chosen if (group, name) not in {(o.group, o.name) for o in found}]
    if absent:
        hint = "Install it, or change SKILLYARD_ENVIRONMENT_STORE or SKILLYARD_SANDBOX."
        return Check("plug-ins", State.MISSING, f"not installed: {', '.join(sorted(absent))}", hint)
    if failed:
        needed = any(one.group == Group.SCANNERS or (one.group, one.name) in chosen for one in failed)
        names = ", ".join(f"{one.group}: {one.name} ({one.distribution})" for one in failed)
        hint = "See the list for the reason; mend or remove the distribution."
        return Check("plug-ins", State.MISSING if needed else State.WARNING, f"did not load: {names}", hint)
    return Check("plug-ins", State.OK, f"{len(found)} loaded")
