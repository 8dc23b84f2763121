"""Names in a marketplace that may be taken for others: of a new skill against other publishers' skills, of a new
publisher against the others.

The rules are those for packages (``governance.package_names``). They are asked of few names only: whatever is far off
by its letters alone is left out before.
"""

from __future__ import annotations

from collections.abc import Iterable

from skillyard.governance.package_names.lookalikes import Lookalike, Popular

_FAR = 4
"""Letters that only one of two names has, from which on no two slips make one the other."""
_LONGER = 2
_SHAPES = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_DIGITS = str.maketrans({"0": "o", "1": "l", "3": "e", "5": "s", "i": "l"})


def lookalike(name: str, others: Iterable[str]) -> Lookalike | None:
    """The first of the others that a name looks like. One that is the same is no look-alike: namespaces tell them
    apart."""
    bare, shape, words = name.replace("-", ""), _shape(name), name.split("-")
    letters = set(bare)
    shortened = {"".join(words[1:]), "".join(words[:-1])} - {""}
    near = []
    for other in others:
        plain = other.replace("-", "")
        close = abs(len(plain) - len(bare)) <= _LONGER and len(letters.symmetric_difference(plain)) <= _FAR
        if other != name and (close or plain in shortened or _shape(other) == shape):
            near.append(other)
    return Popular(near).lookalike(name) if near else None


def _shape(name: str) -> str:
    text = name.replace("-", "")
    for seen, read in _SHAPES:
        text = text.replace(seen, read)
    return text.translate(_DIGITS)
