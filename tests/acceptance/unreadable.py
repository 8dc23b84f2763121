"""Files of a skill that no static scan can look into, and a skill that has them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from tests.acceptance.skills import packed

_MIB = 1024 * 1024


def with_files(name: str, files: Mapping[str, bytes]) -> bytes:
    """A skill of instructions with further files, as an archive."""
    manifest = f"---\nname: {name}\ndescription: Made by an acceptance story.\n---\n# {name}\n"
    return packed(name, {"SKILL.md": manifest.encode(), **files})


def _archive(content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("inner.py", content)
    return archive.getvalue()


def _locked() -> bytes:
    """An archive that says of its member, in both of its headers, that it needs a password."""
    data = bytearray(_archive(b"print(1)\n"))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    return bytes(data)


UNREADABLE: Mapping[str, Mapping[str, bytes]] = {
    "a text that is too large to be looked at": {"references/all.md": b"words and words\n" * (4 * _MIB // 16)},
    "Python in another encoding than it says": {"scripts/run.py": b"# coding: utf-8\nname = '\xff\xfe\x80'\n"},
    "an archive that needs a password": {"assets/data.zip": _locked()},
    "an archive that is cut": {"assets/data.zip": _archive(b"print(1)\n" * 1000)[:100]},
    "an archive that unpacks to hundreds of times its size": {"assets/data.zip": _archive(bytes(64 * _MIB))},
    "Python that is nested too deep to be parsed": {"scripts/run.py": b"x = " + b"(" * 5000 + b")" * 5000 + b"\n"},
}
"""What, and the files."""
