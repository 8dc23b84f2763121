"""How far two names are apart by slips of a keyboard: Damerau and Levenshtein's distance, and candidates for it."""

from __future__ import annotations


def within(one: str, other: str, most: int) -> bool:
    """Whether at most so many insertions, deletions, substitutions and swaps of neighbours make one name the other.

    Optimal string alignment: no part is changed twice, which is how names are mistyped.
    """
    if abs(len(one) - len(other)) > most:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        previous, before = before, row
        row = [i]
        for j, b in enumerate(other, start=1):
            cost = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, previous[j - 2] + 1)
            row.append(cost)
        if min(row) > most and min(before) > most:
            return False
    return row[-1] <= most


def deletions(name: str, most: int) -> frozenset[str]:
    """The name, and all that is left of it without up to ``most`` of its characters.

    Two names within a distance have one of these in common, so they need not be compared with each other.
    """
    found = {name}
    edge = {name}
    for _ in range(most):
        edge = {text[:i] + text[i + 1 :] for text in edge for i in range(len(text))}
        found |= edge
    return frozenset(found)
