"""Every setting, read once from the environment (``SKILLYARD_*``) or a ``.env`` file, immutable afterwards.

This is the only module that reads the environment; ``tool_environment`` is how subprocesses get the little of it
that they need.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PASSED_TO_TOOLS = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy")
_DATABASES = ("sqlite+aiosqlite:///", "postgresql+asyncpg://", "postgresql://", "postgres://")
_ENGINES = ("pip-audit", "safety", "npm-audit")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def _default_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    if sys.platform == "darwin" and not base:
        return Path.home() / "Library" / "Application Support" / "skillyard"
    return (Path(base) if base else Path.home() / ".local" / "share") / "skillyard"


class Settings(BaseSettings):
    """All settings of one instance. Sizes are bytes, times are seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        # A value that is refused may be a URL with a password in it.
        env_prefix="SKILLYARD_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(
        default_factory=_default_home,
        description="Folder that holds all state; default: `skillyard` in the platform's data folder.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="`sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://USER:PASSWORD@HOST/NAME`; "
        "default: an SQLite file in the home folder.",
    )
    database_readers: int = Field(
        default=8, ge=1, le=100, description="Most connections of one process that read the database at once."
    )

    host: str = Field(default="127.0.0.1", description="Address the server listens on.")
    port: int = Field(default=8750, ge=0, le=65535, description="Port the server listens on; 0 picks a free one.")
    server: str | None = Field(default=None, description="Server that command-line clients talk to.")
    token: SecretStr | None = Field(default=None, description="Bearer token of command-line clients.")
    allow_server_paths: bool = Field(default=False, description="Let admins install from paths on the server.")
    cors_origins: tuple[str, ...] = Field(default=(), description="Origins that browsers may call the API from.")
    log_level: str = Field(default="INFO", description="Least severe log level written.")

    index_url: SecretStr | None = Field(default=None, description="Python package index, instead of uv's default.")
    extra_index_urls: tuple[SecretStr, ...] = Field(default=(), description="More Python package indexes.")
    index_proxy: SecretStr | None = Field(default=None, description="Proxy for package indexes.")
    index_ca_bundle: Path | None = Field(default=None, description="CA bundle for package indexes.")
    index_timeout: float = Field(default=120.0, gt=0, description="Time limit of one resolution or one download.")
    minimum_release_age_days: float = Field(default=0.0, ge=0, description="Ignore releases younger than this.")

    source_builds: str = Field(
        default="refuse",
        pattern="^(refuse|allow)$",
        description="Whether packages without a wheel may be built from source, in a container without a network.",
    )
    source_build_timeout: float = Field(default=300.0, gt=0, description="Time limit of building one package.")
    source_build_memory_mib: int = Field(
        default=1024, ge=128, description="Memory of building one package; a quarter of it is its scratch space."
    )

    advisories_url: str = Field(
        default="https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip",
        description="Where `advisories update` fetches OSV records from when not told otherwise.",
    )
    advisories_more: tuple[str, ...] = Field(
        default=("https://osv-vulnerabilities.storage.googleapis.com/npm/all.zip",),
        description="More sources of an update, which add to the first: addresses or paths of OSV records, of names of "
        "malicious packages (`pypi=PATH`, `npm=PATH`), of EPSS scores and of the KEV catalogue.",
    )
    advisories_update_hours: float = Field(
        default=24.0, ge=0, description="Hours between a server's own updates of the advisory index; 0: never."
    )
    advisories_max_age_days: float = Field(
        default=7.0, gt=0, description="An advisory index older than this makes verdicts INDETERMINATE."
    )

    scan_policy: Path | None = Field(
        default=None, description="File of the scan policy: what findings do, how old data may be; default: built in."
    )

    engines: tuple[str, ...] = Field(
        default=("pip-audit",),
        description="Second vulnerability scanners (pip-audit, safety, npm-audit) that scans run beside our own "
        "matching; one that is not installed makes verdicts INDETERMINATE (`skillyard engines install`).",
    )
    engines_folder: Path | None = Field(
        default=None, description="Folder of the engines' environments; default: beside Skillyard's own packages."
    )
    engine_timeout: float = Field(default=60.0, gt=0, le=600, description="Time limit of one engine in one scan.")
    safety_api_key: SecretStr | None = Field(
        default=None,
        description="Key with which safety fetches its makers' database in each scan; without one it runs on our "
        "advisory index and asks nobody.",
    )

    environment_store: str = Field(
        default="wheels", description="Plug-in of the group skillyard.environments that materialises locks."
    )
    sandbox: str = Field(default="docker", description="Plug-in of the group skillyard.sandboxes that runs skills.")
    docker_host: str | None = Field(
        default=None,
        # The second name is also the environment variable DOCKER_HOST, which every Docker tool honours.
        validation_alias=AliasChoices("SKILLYARD_DOCKER_HOST", "docker_host"),
        description="Docker Engine address; default: `DOCKER_HOST`, else the platform's socket.",
    )
    channel: str = Field(
        default="auto",
        pattern="^(auto|socket|attached)$",
        description="How frames reach a sandbox: by a socket that its container mounts (quicker), or by its attached "
        "streams; auto takes the socket for a Docker Engine on this machine with its ordinary runtime.",
    )
    runtime_name: str | None = Field(default=None, description="OCI runtime for sandboxes, e.g. runsc.")
    python_base_image: str = Field(default="python:3.11-slim", description="Base image that is pulled if reachable.")
    base_image_source: str = Field(
        default="auto", pattern="^(auto|pull|debian)$", description="Pull, build from Debian packages, or try in turn."
    )
    debian_suite: str = Field(default="bookworm", description="Debian suite the base image is built from.")
    start_timeout: float = Field(default=60.0, gt=0, description="Time limit of starting one sandbox.")

    max_sandboxes: int = Field(default=16, ge=1, description="Most sandboxes running at once.")
    max_sandboxes_per_skill: int = Field(default=4, ge=1, description="Most sandboxes of one skill version.")
    max_sandboxes_per_workspace: int | None = Field(
        default=None, ge=1, description="Most sandboxes of one workspace; default: no limit of its own."
    )
    max_sandbox_memory_mib: int | None = Field(
        default=None, ge=64, description="Most memory granted to all sandboxes together; default: no limit."
    )
    max_sandbox_memory_per_workspace_mib: int | None = Field(
        default=None, ge=64, description="Most memory granted to one workspace's sandboxes; default: no limit."
    )
    max_calls: int | None = Field(
        default=None, ge=1, description="Most calls running at once; default: as many as sandboxes."
    )
    max_calls_per_workspace: int | None = Field(
        default=None, ge=1, description="Most calls of one workspace running at once; default: no limit of its own."
    )
    max_queue: int = Field(default=256, ge=0, description="Most calls waiting for a sandbox; more are refused.")
    max_queue_per_workspace: int | None = Field(
        default=128, ge=0, description="Most of those from one workspace, so that none fills the queue alone."
    )
    queue_timeout: float = Field(
        default=60.0, gt=0, description="How long a call waits for a sandbox that nobody starts for it."
    )
    min_warm: int = Field(default=0, ge=0, description="Sandboxes kept ready for every active version that was called.")
    single_use_publishers: tuple[str, ...] = Field(
        default=(), description="Publishers whose skills get a new sandbox for every call; `*` stands for any text."
    )
    idle_timeout: float = Field(default=300.0, gt=0, description="A warm sandbox unused for this long is stopped.")
    drain_timeout: float = Field(default=60.0, gt=0, description="How long a replaced version may finish its calls.")

    lease_heartbeat: float = Field(default=5.0, gt=0, description="How often a process renews its lease.")
    lease_ttl: float = Field(
        default=30.0, gt=0, description="A lease not renewed for this long is lapsed; at least three heartbeats."
    )
    sweep_period: float = Field(
        default=30.0, gt=0, description="How often a server looks for what processes that died have left."
    )
    gc_period_hours: float = Field(
        default=24.0, ge=0, description="How often a server collects what nothing refers to any more; 0 is never."
    )
    gc_grace_days: float = Field(
        default=14.0, ge=0, description="What nothing has referred to for this long is collected."
    )

    skill_memory_mib: int = Field(default=512, ge=64, description="Default memory of a sandbox.")
    skill_memory_max_mib: int = Field(default=2048, ge=64, description="Most memory that a skill may ask for.")
    skill_timeout: float = Field(default=60.0, gt=0, description="Default time-out of a call.")
    skill_timeout_max: float = Field(default=600.0, gt=0, description="Longest time-out that a skill may ask for.")
    skill_processes: int = Field(default=64, ge=16, description="Most processes in a sandbox.")
    skill_cpu_shares: int = Field(default=1024, ge=2, description="CPU weight of a sandbox.")
    skill_cpu_quota: float | None = Field(default=None, gt=0, description="CPU quota of a sandbox, in CPUs.")

    artefact_retention_days: float = Field(
        default=7.0, gt=0, le=36_500, description="How long the files that a call leaves are kept."
    )

    audit_sign_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="How often a server signs the heads of audit chains that grew."
    )
    audit_archive_days: float = Field(
        default=0.0, ge=0, le=36_500, description="A server archives audit records older than this; 0 is never."
    )
    audit_archive_folder: Path | None = Field(
        default=None, description="Folder of audit archives; default: in the home folder."
    )

    recording_max_mib: int = Field(
        default=16, ge=1, le=1024, description="Largest recording of a supervised call; it says where it was truncated."
    )
    recording_retention_days: float = Field(
        default=30.0, gt=0, le=36_500, description="How long recordings of supervised calls are kept."
    )

    require_second_person: bool = Field(default=True, description="Approvals need somebody other than who asked.")
    approval_request_days: float = Field(
        default=30.0, gt=0, le=3650, description="How long an approval request waits for a decision before it expires."
    )
    approval_denial_hours: float = Field(
        default=24.0, ge=0, le=87_600, description="How long a denial answers the same question of the same agent."
    )
    approval_notice_days: float = Field(
        default=7.0, ge=0, le=365, description="How long before an approval runs out its webhooks are told."
    )
    approval_wait_max: float = Field(
        default=3600.0,
        ge=0,
        le=86_400,
        description="Longest that a held call may wait for its approval; 0 is not at all.",
    )
    max_waiting_for_approval: int = Field(
        default=32, ge=1, description="Most calls of one workspace that wait for an approval at once."
    )

    webhook_timeout: float = Field(default=10.0, gt=0, le=120, description="Time limit of delivering one message.")
    webhook_retry: float = Field(
        default=5.0, gt=0, description="Wait before a message is tried a second time; doubled for each further one."
    )
    webhook_max_age_hours: float = Field(
        default=72.0, gt=0, description="A message that nobody took for this long is dead."
    )
    webhook_allow_private: bool = Field(
        default=False, description="Let webhooks go to private addresses, and by plain HTTP to this machine."
    )
    webhook_ca_bundle: Path | None = Field(default=None, description="CA bundle for webhooks, instead of the system's.")

    git_allow_private: bool = Field(
        default=False,
        description="Let skills be installed over Git from private addresses; nothing about the host is checked then.",
    )

    marketplace_allow_private: bool = Field(
        default=False,
        description="Let remotes be at private addresses, and by plain HTTP on this machine (another Skillyard beside "
        "this one).",
    )
    marketplace_allow_http: bool = Field(
        default=False, description="Let remotes be reached by plain HTTP anywhere; tokens are then readable on the way."
    )
    marketplace_ca_bundle: Path | None = Field(
        default=None, description="CA bundle for remotes, instead of the system's."
    )
    marketplace_timeout: float = Field(
        default=30.0, gt=0, le=600, description="Time limit of one request to a remote; files get more by their size."
    )
    marketplace_name: str = Field(
        default="skillyard", min_length=1, max_length=100, description="What this marketplace calls itself to others."
    )
    marketplace_url: str | None = Field(
        default=None,
        max_length=500,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Where others reach this server, such as `https://skills.example.org`: archives in "
        "`/marketplace.json` are at addresses below it. Without one these are relative, for a server behind a proxy "
        "does not know.",
    )
    marketplace_public: bool = Field(
        default=False,
        description="Let anybody read `/.well-known/agent-skills/`, `/marketplace.json` and the archives that they "
        "name; without it they need a token.",
    )
    marketplace_head_seconds: float = Field(
        default=3600.0,
        ge=60,
        le=604_800,
        description="How long a signed head counts; a follower that is shown an older one says that it is held back.",
    )
    marketplace_share_counts: bool = Field(
        default=False,
        description="Tell remotes how often their skills were installed and called here, as totals without names.",
    )
    marketplace_upload_max_age_hours: float = Field(
        default=72.0, gt=0, description="What could not be sent to a remote for this long waits for an operator."
    )
    marketplace_incoming_hours: float = Field(
        default=24.0, gt=0, le=720, description="How long files are kept that were sent ahead of a publication."
    )
    marketplace_incoming_max_mib: int = Field(
        default=1024,
        ge=16,
        description="Most that such files take in all, and one workspace of it half; more uploads are refused until "
        "some went.",
    )
    marketplace_tombstone_days: float = Field(
        default=90.0,
        ge=1,
        le=36_500,
        description="How long the feed remembers a deletion; a follower that was away for longer reads a snapshot.",
    )
    marketplace_mirror_hours: float = Field(
        default=24.0,
        gt=0,
        description="How long ago a mirror may have been read to its remote's head for skills to be installed from it; "
        "older ones may not know what was revoked since.",
    )
    marketplace_max_listeners: int = Field(
        default=1000, ge=1, description="Most followers that wait for changes at one process, by channel or request."
    )

    sync_period: float = Field(
        default=900.0, gt=0, description="How often a remote is asked for changes while its live channel is open."
    )
    sync_period_not_live: float = Field(
        default=60.0, gt=0, description="How often while it is not, and after a failure."
    )
    sync_upload_period: float = Field(
        default=1800.0, gt=0, description="How often what waits to go up is looked at; new items go at once."
    )
    sync_jitter: float = Field(
        default=0.1, ge=0, le=1, description="Share of a period by which a scheduled run may be late, by chance."
    )
    sync_run_timeout: float = Field(default=3600.0, gt=0, description="Longest that one run of a sync job may take.")
    sync_runs_kept: int = Field(default=200, ge=1, le=100_000, description="Runs remembered of each sync job.")
    sync_live_backoff: float = Field(
        default=16.0, ge=1, le=3600, description="Longest pause before a live channel that closed is opened again."
    )
    sync_live_failures: int = Field(
        default=3, ge=1, description="Failures in a row after which a remote is only polled for a while."
    )
    sync_live_rest: float = Field(default=3600.0, gt=0, description="How long that while is.")
    metrics_public: bool = Field(
        default=False, description="Let anybody read `/metrics`; otherwise it takes the token of an operator."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("engines")
    @classmethod
    def _known_engines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in _ENGINES]
        if unknown:
            raise ValueError(f"there are the engines {', '.join(_ENGINES)}, and no {', '.join(unknown)}")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(_DATABASES):
            raise ValueError(f"a database URL begins with one of: {', '.join(_DATABASES)}")
        return value

    @model_validator(mode="after")
    def _ttl_outlives_heartbeats(self) -> Settings:
        if self.lease_ttl < 3 * self.lease_heartbeat:
            raise ValueError("lease_ttl must be at least three times lease_heartbeat, or one late renewal loses it")
        return self

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL in force. It may hold a password: `database.locate(…).shown` is what can be shown."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.home / 'skillyard.db'}"

    @cached_property
    def tool_environment(self) -> dict[str, str]:
        """The environment subprocesses start with: an allow-list of ours plus index proxy and CA bundle."""
        names = _PASSED_TO_TOOLS if self.index_proxy else _PASSED_TO_TOOLS + _PROXIES
        environment = {name: os.environ[name] for name in names if name in os.environ}
        if self.index_proxy:
            proxy = self.index_proxy.get_secret_value()
            environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy)
        if self.index_ca_bundle:
            environment["SSL_CERT_FILE"] = str(self.index_ca_bundle)
        return environment
