"""What a skill shows of the version that ``latest`` names: description, license, and the beginning of its SKILL.md.

Whoever moves ``latest`` takes this text with it: that of a version that was taken away is not to be read any more, in
the search of this hub or of any follower.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue.documents import MAX_BODY, SkillDocument, checked
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.channels import LATEST
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.versions import VersionFiles
from skillyard.marketplace_sync.hub.words import word_of
from skillyard.runtime.stored import skill_from_json


@dataclass(frozen=True, slots=True)
class Shown:
    """The text of a version, as its skill shows it."""

    description: str
    license: str | None
    body: str


class Latest:
    """Finds the text of versions, in the caller's transaction."""

    def __init__(self, *, ground: Ground, files: VersionFiles) -> None:
        self._ground = ground
        self._files = files

    async def following(
        self, session: Session, skill: str, document: SkillDocument, *, kept: Collection[str] = ()
    ) -> SkillDocument:
        """A skill's document with the text of the version that its ``latest`` names now, but for the fields ``kept``.

        Of a version that may not be installed nothing is shown, and the body is left out where it lies in the home of
        another server.
        """
        shown = await self._shown(session, skill, document.channels.get(LATEST))
        return with_text(document.model_dump(), shown, kept=kept)

    async def _shown(self, session: Session, skill: str, number: str | None) -> Shown:
        if number is None:
            return Shown("There is no version of this skill at the moment.", None, "")
        key = f"{skill}@{number}"
        word = await word_of(session, self._ground.id, key)
        if word is not None and not word.state.installable:
            return Shown(f"Version {number} of this skill is {word.state.value}.", None, "")
        found = skill_from_json(await hub_store.skill_json(session, key))
        return Shown(found.description, found.license, printable(await self._files.body(session, key)))


def with_text(fields: Mapping[str, object], shown: Shown, *, kept: Collection[str] = ()) -> SkillDocument:
    """A skill's document of these fields and a version's text. Raises ``DocumentError`` naming the field."""
    text = {"description": shown.description, "license": shown.license, "body": shown.body}
    return checked(SkillDocument, {**fields, **{name: text[name] for name in text if name not in kept}})


def printable(text: str) -> str:
    """The beginning of a text, without characters that none holds: PostgreSQL keeps no NUL, and nobody searches for
    the others."""
    return "".join(one for one in text if one.isprintable() or one in "\n\t")[:MAX_BODY]
