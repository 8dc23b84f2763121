"""What a skill is: its manifest, its files, the packages it declares, the lock they resolve to, what it asks for.

Belongs here: parsing ``SKILL.md`` and declared packages, the deterministic bundle and its digest, the values of a
lock and its ``pylock.toml`` form, requested and granted permissions, and the sources skills come from.
Does not belong here: any judgement about a skill (``governance``) and anything that runs it (``sandbox``).
I/O: reads files; ``sources`` also runs ``git`` and writes into a staging folder. Nothing of a skill is executed.
"""
