"""Installing, inspecting, swapping and removing over HTTP."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import uuid
import zipfile
from pathlib import Path

import httpx
import pytest
from tests.api.conftest import ASSETS, House, made, serving, skill_zip, upload


def fresh() -> str:
    return f"echo-{uuid.uuid4().hex[:8]}"


def run(house: House, name: str) -> httpx.Response:
    return house.agent.post("/v1/invocations", json={"skill": name, "input": {"text": "x"}})


def test_an_uploaded_skill_is_installed_listed_and_inspected(house: House) -> None:
    name = fresh()
    response = upload(house.admin, skill_zip("echo", rename=name), publisher="acme", mode="strict")
    assert response.status_code == 201
    installation = response.json()
    assert (installation["created"], installation["active"], installation["unapproved"]) == (True, True, [])
    listed = made(house.agent.get("/v1/skills", params={"limit": 200}))["items"]
    assert [item["active_version"] for item in listed if item["name"] == name] == ["1.0.0"]
    found = made(house.agent.get(f"/v1/skills/acme/{name}"))
    assert found == installation["version"]
    assert found == made(house.agent.get(f"/v1/skills/acme/{name}/versions/1.0.0"))
    assert found["skill"]["entries"][0] == "scripts/echo.py:run"
    assert found["report"]["verdict"] == "PASS"
    assert found["report"]["evidence"], "a verdict without evidence"
    assert found["skill"]["bundle"]["digest"] == found["report"]["bundle_digest"]
    assert found["origin"] == "archive:skill.zip"


def test_installing_the_same_again_changes_nothing(house: House) -> None:
    content = skill_zip("echo", rename=fresh())
    assert upload(house.admin, content).status_code == 201
    again = upload(house.admin, content)
    assert (again.status_code, again.json()["created"]) == (200, False)


def test_a_version_never_changes_and_another_version_is_an_upgrade(house: House) -> None:
    name = fresh()
    made(upload(house.admin, skill_zip("echo", rename=name)))
    changed = io.BytesIO(skill_zip("echo", rename=name))
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr(f"{name}/more.txt", "more")
    assert upload(house.admin, changed.getvalue()).json()["code"] == "version_exists"
    newer = upload(house.admin, skill_zip("echo", rename=name, version="1.1.0"))
    assert (newer.status_code, newer.json()["code"]) == (409, "already_installed")


def test_upgrade_roll_back_activate_and_remove(house: House) -> None:
    name = fresh()
    path = f"/v1/skills/local/{name}"
    made(upload(house.admin, skill_zip("echo", rename=name)))
    assert run(house, name).json()["skill"] == f"local/{name}@1.0.0"
    swap = made(upload(house.admin, skill_zip("echo", rename=name, version="1.1.0"), route="/v1/skills/upgrade"))
    assert (swap["old"], swap["new"], swap["moved"]) == ("1.0.0", "1.1.0", True)
    assert run(house, name).json()["skill"] == f"local/{name}@1.1.0"
    assert made(house.admin.post(f"{path}/rollback"))["new"] == "1.0.0"
    assert run(house, name).json()["skill"] == f"local/{name}@1.0.0"
    assert made(house.admin.post(f"{path}/activate", json={"version": "1.1.0"}))["moved"]
    active = house.admin.delete(f"{path}/versions/1.1.0")
    assert active.status_code == 409
    assert house.admin.delete(f"{path}/versions/1.0.0").status_code == 204
    assert house.admin.get(f"{path}/versions/1.0.0").status_code == 404
    assert house.admin.delete(path).status_code == 204
    assert run(house, name).status_code == 404


def test_a_broken_version_never_takes_the_pointer(house: House) -> None:
    name = fresh()
    made(upload(house.admin, skill_zip("echo", rename=name)))
    broken = io.BytesIO()
    good = io.BytesIO(skill_zip("echo", rename=name, version="2.0.0"))
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(broken, "w") as archive:
        for member in source.namelist():
            content = source.read(member)
            archive.writestr(member, b"import nothing_like_it\n" + content if "echo.py" in member else content)
    response = upload(house.admin, broken.getvalue(), route="/v1/skills/upgrade")
    assert (response.status_code, response.json()["code"]) == (422, "unhealthy")
    assert "nothing_like_it" in response.json()["detail"]
    assert run(house, name).json()["skill"] == f"local/{name}@1.0.0"


def test_an_upgrade_of_what_is_not_installed_is_not_found(house: House) -> None:
    assert upload(house.admin, skill_zip("echo", rename=fresh()), route="/v1/skills/upgrade").status_code == 404


def test_a_tar_archive_installs_too(house: House) -> None:
    name = fresh()
    packed = io.BytesIO()
    uploaded = io.BytesIO(skill_zip("echo", rename=name))
    with zipfile.ZipFile(uploaded) as source, tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for member in source.namelist():
            info = tarfile.TarInfo(member)
            info.size = source.getinfo(member).file_size
            archive.addfile(info, io.BytesIO(source.read(member)))
    assert upload(house.admin, packed.getvalue()).status_code == 201


def _zip(files: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


_MANIFEST = "---\nname: bad\ndescription: d\n{}---\n"
BAD = {
    "not an archive": (b"hello", "invalid_skill", None),
    "no manifest": (_zip({"bad/x.txt": "x"}), "invalid_skill", None),
    "binary manifest": (_zip({"bad/SKILL.md": b"\xff\xfe\x00"}), "invalid_skill", "SKILL.md"),
    "broken YAML": (_zip({"bad/SKILL.md": "---\nname: [\n---\n"}), "invalid_skill", "SKILL.md"),
    "a URL": (
        _zip({"bad/SKILL.md": _MANIFEST.format("packages: ['x @ https://x.example/x.whl']\n")}),
        "invalid_requirement",
        "SKILL.md",
    ),
    "traversal": (_zip({"bad/SKILL.md": _MANIFEST.format(""), "bad/../../x": "x"}), "unsafe_path", None),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_upload_is_refused_with_its_place_and_leaves_nothing(house: House, case: str) -> None:
    content, code, file = BAD[case]
    response = upload(house.admin, content)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, code), response.text
    if file:
        assert problem["file"] == file
        assert isinstance(problem.get("line"), int) or case == "binary manifest"
    assert str(house.server.home) not in response.text
    assert house.admin.get("/v1/skills/local/bad").status_code == 404


def test_a_bundle_that_is_too_large_is_refused(house: House) -> None:
    files: dict[str, str | bytes] = {f"bad/{n}.bin": os.urandom(9 * 2**20) for n in range(2)}
    response = upload(house.admin, _zip({"bad/SKILL.md": _MANIFEST.format("")} | files))
    assert (response.status_code, response.json()["code"]) == (413, "bundle_too_large")


def test_a_vulnerable_skill_is_refused_with_rule_package_and_advisory(house: House) -> None:
    manifest = _MANIFEST.format("packages: ['jinja2==2.10']\n")
    response = upload(house.admin, _zip({"bad/SKILL.md": manifest, "bad/scripts/x.py": "import jinja2\n"}))
    assert (response.status_code, response.json()["code"]) == (422, "report_refused")
    report = response.json()["report"]
    assert report["verdict"] == "BLOCK"
    blocking = [finding for finding in report["findings"] if finding["level"] == "BLOCK"]
    assert {finding["package"]["name"] for finding in blocking} >= {"jinja2"}
    assert all(finding["advisory"] and finding["rule"] for finding in blocking)


def test_a_path_on_the_server_is_refused_unless_settings_allow_it(house: House, tmp_path: Path) -> None:
    wanted = {"path": str(ASSETS / "echo")}
    assert house.admin.post("/v1/skills", json=wanted).status_code == 403
    with serving(tmp_path / "home", allow_server_paths="true") as server, server.client(server.token) as admin:
        assert admin.post("/v1/skills", json=wanted).status_code == 201
        for path in ("relative", str(tmp_path / "missing")):
            response = admin.post("/v1/skills", json={"path": path})
            assert (response.status_code, response.json()["field"]) == (422, "path")


def test_a_git_repository_is_installed_at_its_commit(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    with zipfile.ZipFile(io.BytesIO(skill_zip("echo"))) as archive:
        archive.extractall(repository)

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@t.example")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=repository, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", ".")
    git("commit", "--quiet", "--message=one")
    git("tag", "v1")
    wanted = {"git": {"url": repository.as_uri(), "ref": "v1", "subfolder": "echo"}, "publisher": "acme"}
    with serving(tmp_path / "home", allow_server_paths="true") as server, server.client(server.token) as admin:
        installed = made(admin.post("/v1/skills", json=wanted))
    assert installed["version"]["commit"] == git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"git": {"url": "https://x.example/r"}, "path": "/x"}, "invalid_request"),
        ({"git": {"url": "--upload-pack=evil"}}, "invalid_source"),
        ({"git": {"url": "ext::sh -c evil"}}, "invalid_source"),
        ({"git": {"url": "file:///etc"}}, "invalid_source"),
        ({"git": {"url": "https://[x/y"}}, "invalid_source"),
        ({"git": {"url": "https://127.0.0.1:9/x.git"}}, "invalid_source"),
        ({"git": {"url": "https://10.0.0.5:8443/x.git"}}, "invalid_source"),
        ({"git": {"url": "git@192.168.0.1:x.git"}}, "invalid_source"),
        ({"git": {"url": "https://x.example/r", "ref": "--evil"}}, "invalid_source"),
        ({"git": {"url": "https://x.example/r"}, "publisher": "x" * 65}, "invalid_request"),
    ],
)
def test_an_origin_that_cannot_be_is_refused(house: House, body: dict[str, object], code: str) -> None:
    response = house.admin.post("/v1/skills", json=body)
    assert (response.status_code, response.json()["code"]) == (422, code), response.text


def test_an_upload_without_a_file_is_refused(house: House) -> None:
    response = house.admin.post("/v1/skills", data={"publisher": "acme"}, files={"other": ("a", b"b")})
    assert (response.status_code, response.json()["field"]) == (422, "file")


def test_the_list_of_skills_comes_page_by_page(house: House) -> None:
    names = [fresh() for _ in range(3)]
    for name in names:
        made(upload(house.admin, skill_zip("echo", rename=name)))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = made(house.member.get("/v1/skills", params={"limit": 2} | ({"cursor": cursor} if cursor else {})))
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert set(names) <= set(seen)
    for bad in ({"limit": 0}, {"limit": 201}, {"cursor": "-1"}, {"cursor": "x"}, {"cursor": "9" * 30}):
        assert house.member.get("/v1/skills", params=bad).status_code == 422
