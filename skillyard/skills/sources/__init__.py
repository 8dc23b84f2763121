"""Where skills come from: a folder, an archive, a Git repository.

Belongs here: implementations of ``Source``, named after what they talk to, and ``source_for``, which picks one.
Does not belong here: what a skill means (``parse``). I/O: reads disk, writes into the caller's staging folder, runs
``git``. Whatever comes in is checked and counted while it is unpacked, and links are refused, never followed.
"""
