"""From an installed version and a grant to a running sandbox: materialise its lock, mount its bundle, start."""

from __future__ import annotations

from skillyard.governance.decision import Allow
from skillyard.runtime.reconcile import Reconciler
from skillyard.runtime.started import Ground, Started
from skillyard.runtime.values import InstalledVersion
from skillyard.sandbox.environment import Environment, EnvironmentStore, ProgressSink, silent
from skillyard.sandbox.errors import StartError
from skillyard.sandbox.sandbox import RunningSandbox, Sandbox, SandboxSpec
from skillyard.skills.bundle_store import BundleStore


class Starter:
    """Starts sandboxes for installed versions. Labels tell every container's owner (see ``instance``)."""

    def __init__(
        self,
        *,
        bundles: BundleStore,
        environments: EnvironmentStore,
        sandbox: Sandbox,
        reconciler: Reconciler,
        started: Started,
        instance: str,
        lease: str,
    ) -> None:
        self._bundles = bundles
        self._environments = environments
        self._sandbox = sandbox
        self._reconciler = reconciler
        self._started = started
        self._instance = instance
        self._lease = lease

    async def materialise(self, version: InstalledVersion, on_progress: ProgressSink = silent) -> Environment | None:
        """The version's environment on disk; ``None`` for a skill without packages."""
        locks = [lock for lock in version.locks if lock.packages]
        if not locks:
            return None
        if len(locks) > 1:
            raise StartError(f"{version.ref} has packages of several ecosystems, and an environment holds one")
        return await self._environments.materialise(locks[0], on_progress)

    async def start(
        self, version: InstalledVersion, allow: Allow, on_progress: ProgressSink = silent
    ) -> RunningSandbox:
        """A sandbox that is ready for calls. Takes the whole Allow: nothing starts without a decision."""
        await self._reconciler.reconcile_engine()
        environment = await self.materialise(version, on_progress)
        spec = SandboxSpec(
            kind=version.skill.kind,
            bundle_digest=version.skill.bundle.digest,
            bundle=self._bundles.path(version.skill.bundle.digest),
            environment=environment.path if environment else None,
            preload=_preload(version, environment),
            labels={
                "instance": self._instance,
                "workspace": str(version.workspace),
                "skill": f"{version.publisher}/{version.name}@{version.version}",
                "digest": version.skill.bundle.digest,
                "lease": self._lease,
            },
        )
        ground = Ground.of(spec.bundle, spec.environment)
        running = await self._sandbox.start(spec, allow.granted)
        self._started.add(running, version.id, ground)
        return running


def _preload(version: InstalledVersion, environment: Environment | None) -> tuple[str, ...]:
    """The imported modules that the environment holds: declared and actually used."""
    if environment is None:
        return ()
    modules = frozenset(environment.modules)
    return tuple(name for name in version.skill.imports if name.partition(".")[0] in modules)
