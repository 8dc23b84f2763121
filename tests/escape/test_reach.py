"""Getting at the host and out of the container: files, mounts, control groups, devices, the network."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_engines_socket_is_not_there(target) -> None:
    seen = await target.tell("reach.py:engine_socket")
    assert seen["sockets"] == []
    assert set(seen["answers"].values()) == {"ENOENT"}


async def test_every_mount_is_read_only_the_kernels_own_or_the_scratch(target) -> None:
    mounts = {mount["point"]: mount for mount in await target.tell("reach.py:mounts")}
    # What a container always has besides, each private to it: processes, terminals of its own, message queues.
    own = {"/scratch", "/tmp", "/dev/shm", "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys/fs/cgroup"}
    masked = {point for point in mounts if point.startswith("/proc/") and "ro" not in mounts[point]["options"]}
    assert {point for point, mount in mounts.items() if "ro" not in mount["options"]} <= own | masked
    assert {mounts[point]["root"] for point in masked} <= {"/null"}
    assert [mount for mount in mounts.values() if mount["shared"]] == []
    for point in ("/scratch", "/tmp", "/dev/shm", "/proc", "/dev/mqueue", "/sys"):
        assert "nosuid" in mounts[point]["options"], point
    assert {"/skill", "/env"} <= set(mounts)


async def test_only_our_folders_come_from_the_hosts_disk(target) -> None:
    """Of the host, a mount is shown by its folder: ours, and the three small files that an engine makes."""
    kinds = {"proc", "tmpfs", "devpts", "sysfs", "mqueue", "overlay", "cgroup", "cgroup2"}
    mounts = [mount for mount in await target.tell("reach.py:mounts") if mount["kind"] not in kinds]
    points = {mount["point"] for mount in mounts}
    engines = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}
    ours = {"/skill", "/env", "/opt/skillyard/skillyard/sandbox/guest", "/opt/skillyard/channel"}
    assert points - engines == ours


async def test_the_servers_own_socket_is_gone_before_a_call(target) -> None:
    """The relay connected to it first of all; what is left is a folder that is gone on the host, and read-only here."""
    answers = await target.tell("reach.py:servers_socket")
    assert answers["there"] in {"EACCES", "got []"}
    assert answers["connect"] == "ENOENT"
    assert answers["made"] in {"EROFS", "ENOENT", "EACCES"}


@pytest.mark.parametrize("path", ["/skill/scripts/attempt.py", "/env/innocent.py", "/skill/SKILL.md"])
async def test_what_is_mounted_cannot_be_changed_in_any_way(target, folders, path: str) -> None:
    """The files are everybody's on the host, so that the mount alone refuses."""
    answers = await target.tell("reach.py:change", {"path": path})
    assert {name: answer for name, answer in answers.items() if answer.startswith("got")} == {}
    assert set(answers.values()) <= {"EROFS", "EXDEV", "EPERM", "ENOENT"}
    assert sorted(found.name for folder in folders for found in folder.rglob("*") if "new" in found.name) == []


async def test_the_guests_own_code_cannot_be_changed(target) -> None:
    guest = "/opt/skillyard/skillyard/sandbox/guest"
    for name in ("relay.py", "zygote.py", "child.py"):
        answers = await target.tell("reach.py:change", {"path": f"{guest}/{name}"})
        assert {name: answer for name, answer in answers.items() if answer.startswith("got")} == {}


async def test_the_image_cannot_be_changed(target) -> None:
    answers = await target.tell("reach.py:change", {"path": "/etc/passwd"})
    assert {name: answer for name, answer in answers.items() if answer.startswith("got")} == {}


async def test_the_program_that_runs_us_cannot_be_overwritten(target) -> None:
    """As a container once overwrote runc (CVE-2019-5736): ours is on the read-only image, others' are not even seen."""
    answers = await target.tell("reach.py:own_program")
    assert answers["self"] in {"EROFS", "ETXTBSY", "EACCES"}
    assert answers["other"] == answers["readable"] == "EACCES"


@pytest.mark.parametrize("path", ["/skill", "/env", "/", "/proc/sys", "/sys", "/opt/skillyard/skillyard/sandbox/guest"])
async def test_nothing_is_mounted_again_writable(target, path: str) -> None:
    answers = await target.tell("reach.py:remount", {"path": path})
    assert answers == dict.fromkeys(answers, "EPERM")


KERNEL_FILES = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sysrq-trigger",
    "/proc/irq/0/smp_affinity",
    "/proc/kcore",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
    "/sys/module/kernel/parameters/panic",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/fs/cgroup/memory/notify_on_release",
    "/sys/fs/cgroup/memory/cgroup.procs",
    "/sys/fs/cgroup/pids/pids.max",
    "/sys/fs/cgroup/devices/devices.allow",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/cgroup.procs",
]


async def test_kernel_settings_and_control_groups_cannot_be_written(target) -> None:
    answers = await target.tell("reach.py:write", {"paths": KERNEL_FILES})
    assert {name: answer for name, answer in answers.items() if answer.startswith("got")} == {}
    assert set(answers.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}


async def test_a_control_group_cannot_be_made(target) -> None:
    """The first step of the way out by ``release_agent``: a group below, and a mount of the hierarchy."""
    paths = [f"/sys/fs/cgroup{part}/escape/cgroup.procs" for part in ("", "/memory", "/pids", "/rdma")]
    answers = await target.tell("reach.py:write", {"paths": paths})
    assert set(answers.values()) <= {"EROFS", "EACCES", "ENOENT"}
    assert list(Path("/sys/fs/cgroup").glob("**/escape")) == []


async def test_kernel_memory_log_and_the_hosts_boot_parameters_cannot_be_read(target) -> None:
    """Boot parameters may hold passwords, symbol tables tell where the kernel is, keys are keys."""
    paths = ["/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/proc/kmsg", "/proc/kallsyms"]
    paths += ["/proc/cmdline", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/modules"]
    paths += ["/proc/interrupts", "/sys/class/dmi/id/product_uuid", "/sys/class/dmi/id/product_name"]
    answers = await target.tell("reach.py:read", {"paths": paths})
    allowed = {"EACCES", "EPERM", "ENOENT", "got 0"}
    assert {path: answer for path, answer in answers.items() if answer not in allowed} == {}


async def test_device_files_cannot_be_made_and_only_harmless_ones_are_there(target) -> None:
    answers = await target.tell("reach.py:make_devices")
    assert answers == dict.fromkeys(answers, "EPERM")
    memory, terminals = {1}, {5, 136}
    for path, (major, _minor, is_block) in (await target.tell("reach.py:devices")).items():
        assert not is_block, path
        assert major in memory | terminals, path


async def test_a_file_cannot_be_opened_by_its_number(target) -> None:
    for path in ("/etc/hostname", "/skill/SKILL.md"):
        assert await target.tell("reach.py:file_handle", {"path": path}) == "EPERM"


ADDRESSES = {
    "metadata service": (socket.AF_INET, "169.254.169.254", 80),
    "metadata service, IPv6": (socket.AF_INET6, "fd00:ec2::254", 80),
    "the engine's bridge": (socket.AF_INET, "172.17.0.1", 2375),
    "a name server": (socket.AF_INET, "1.1.1.1", 53),
    "the Internet": (socket.AF_INET, "192.0.2.1", 443),
    "the Internet, IPv6": (socket.AF_INET6, "2001:db8::1", 443),
    "everybody on the wire": (socket.AF_INET, "224.0.0.1", 5353),
}


@pytest.mark.parametrize("name", ADDRESSES)
async def test_no_address_can_be_reached(target, name: str) -> None:
    family, address, port = ADDRESSES[name]
    answers = await target.tell("reach.py:connect", {"family": int(family), "address": address, "port": port})
    assert set(answers.values()) <= {"ENETUNREACH", "EADDRNOTAVAIL", "EHOSTUNREACH"}, answers


async def test_no_name_can_be_resolved(target) -> None:
    for name in ("localhost.localdomain.example", "metadata.google.internal", "example.com"):
        assert (await target.tell("reach.py:resolve", {"name": name})).startswith("gaierror")


async def test_there_is_only_the_loopback_and_it_cannot_be_given_addresses(target) -> None:
    seen = await target.tell("reach.py:interfaces")
    assert seen == {"names": ["lo"], "routes": [], "beyond": []}
    assert await target.tell("reach.py:add_interface") == -1  # EPERM, as netlink says it


async def test_a_server_of_the_host_on_its_loopback_is_not_ours(target) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        given = {"family": int(socket.AF_INET), "address": "127.0.0.1", "port": listening.getsockname()[1]}
        assert (await target.tell("reach.py:connect", given))["stream"] == "ECONNREFUSED"


async def test_abstract_names_of_the_host_are_not_ours(target) -> None:
    name = f"skillyard-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        seen = await target.tell("reach.py:abstract_socket", {"name": name})
    assert seen == {"answers": ["ECONNREFUSED"], "listed": False}


async def test_processes_of_the_host_are_not_ours(target) -> None:
    """The host has thousands of pids and this test's is one of them; in there it is somebody else or nobody."""
    pids = {int(pid) for pid in (await target.tell("guest.py:attach"))["pids"]}
    assert os.getpid() not in pids
    assert len(pids) < 8
