"""`make setup` on a machine that has python3, pip, make and git, and nothing else of what Skillyard needs.

The machine is a Debian root made from packages, run as a container that may start a Docker Engine of its own.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
HAS = "python3,python3-pip,make,git,ca-certificates"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
MAY_RUN_AN_ENGINE = ["--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--security-opt=seccomp=unconfined"]
INDEX_SETTINGS = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def run(*command: str, check: bool = True, seconds: int = 280) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=check, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds
    )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("debian") / "root.tar"
    run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={HAS}", "bookworm", str(root))
    name = f"skillyard-fresh-machine:{uuid.uuid4().hex}"
    run("docker", "import", str(root), name)
    root.unlink()
    try:
        yield name
    finally:
        run("docker", "image", "rm", "--force", name)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `git clone` of the working tree as it is would give, as a tar file."""
    listed = run("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout
    archive = tmp_path / "clone.tar"
    with tarfile.open(archive, "w") as tar:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                tar.add(ROOT / name, f"skillyard/{name}")
    return archive


@pytest.fixture
def machine(image: str, clone: Path) -> Iterator[str]:
    settings = [f"--env={name}" for name in INDEX_SETTINGS if name in os.environ]
    certificates = [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro", f"--env=SSL_CERT_FILE={CERTIFICATES}"]
    # The engine inside needs a file system of its own for its images: an overlay cannot lie on an overlay.
    volumes = ["--volume=/var/lib/docker", "--volume=/sys/fs/cgroup:/sys/fs/cgroup"]
    options = [*MAY_RUN_AN_ENGINE, *settings, *certificates, *volumes]
    name = f"skillyard-fresh-machine-{uuid.uuid4().hex}"
    run("docker", "run", "--detach", "--rm", f"--name={name}", *options, image, "sleep", "900")
    try:
        run("docker", "cp", "--quiet", str(clone), f"{name}:/clone.tar")
        run("docker", "exec", name, "tar", "--extract", "--file=/clone.tar", "--directory=/")
        yield name
    finally:
        run("docker", "rm", "--force", "--volumes", name, check=False)


def test_set_up_turns_a_fresh_machine_into_one_that_can_run_skills(machine: str) -> None:
    inside = ("docker", "exec", "--workdir=/skillyard", machine)
    first = run(*inside, "make", "setup", check=False)
    assert first.returncode == 0, first.stdout
    assert "starting dockerd" in first.stdout
    run(*inside, "docker", "info")  # the engine answers although make has ended
    again = run(*inside, "make", "setup")
    assert again.stdout == "", "a second set-up finds everything done and has nothing to say"
    run(*inside, ".venv/bin/python", "-c", "import skillyard.settings")


def test_set_up_for_tests_brings_a_postgresql_that_they_can_start(machine: str) -> None:
    inside = ("docker", "exec", "--workdir=/skillyard", machine)
    first = run(*inside, "make", "testing", check=False)
    assert first.returncode == 0, first.stdout
    assert run(*inside, "make", "testing").stdout == ""
    run(*inside, ".venv/bin/pytest", "-q", "tests/database/test_postgres.py", "-k", "admissions_run_side_by_side")
