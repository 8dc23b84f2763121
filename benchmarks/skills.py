"""The skills that are measured, as folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SkillText:
    """One skill with one function ``run`` in one file. ``packages`` as an author declares them."""

    name: str
    code: str
    input: bytes
    answer: bytes
    version: str = "1.0.0"
    packages: str = ""

    def at(self, version: str) -> SkillText:
        """Another version, with other content."""
        return replace(self, version=version, code=f"{self.code}# {version}\n")

    def write(self, parent: Path) -> Path:
        """Its new folder below ``parent``, readable by the users that containers run as."""
        folder = parent / self.version / self.name
        (folder / "scripts").mkdir(parents=True)
        (folder / "SKILL.md").write_text(self._manifest())
        (folder / "scripts" / "main.py").write_text(self.code)
        for each in (folder, folder.parent):
            each.chmod(0o755)
        return folder

    def _manifest(self) -> str:
        fields = {"version": self.version, "skillyard.entry": "scripts/main.py:run"}
        if self.packages:
            fields["skillyard.python"] = self.packages
        metadata = "".join(f'  {name}: "{text}"\n' for name, text in fields.items())
        return (
            f"---\nname: {self.name}\ndescription: What a benchmark calls.\nmetadata:\n{metadata}---\n# {self.name}\n"
        )


ADDER = SkillText(name="adder", code="def run(x: int) -> int:\n    return x + 1\n", input=b'{"x": 1}', answer=b"2")
"""Does next to nothing, so that what is left is the call itself."""

HEAVY = SkillText(
    name="heavy",
    code=(
        "import pandas\n"
        "from sklearn.linear_model import LinearRegression\n\n\n"
        "def run(x: int) -> int:\n"
        "    return int(pandas.Series([x, 1]).sum()) if LinearRegression else 0\n"
    ),
    input=b'{"x": 1}',
    answer=b"2",
    packages="pandas scikit-learn",
)
"""The same with two large packages imported, of which it uses a little."""

HEAVY_AND_MORE = replace(HEAVY, name="heavy-and-more", packages="pandas scikit-learn pillow")
"""Shares ten of its eleven packages with ``HEAVY``."""

SMALL = replace(
    ADDER, name="small", code=f"import threadpoolctl  # noqa: F401\n\n\n{ADDER.code}", packages="threadpoolctl"
)
"""``ADDER`` with a lock that is not empty."""
