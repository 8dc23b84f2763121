"""Two-way sync with a remote marketplace: both ends of one protocol (ADR 0035, docs/reference/marketplace-protocol.md).

``catalogue`` is what both ends share: entries, their order and digest. ``search`` is the index over them. ``hub`` is
what only the upper end does (publishing, moderation, tokens, signed heads); ``remotes`` speaks to one, ``follower``
mirrors it, ``upwards`` sends to it, ``conflicts`` settles what both changed; ``live`` and ``jobs`` say when. What does
not belong here: deciding whether something that arrived may run; it is installed, scanned and governed by ``runtime``
like anything else. I/O: HTTP and WebSocket to remotes, the database, files of the home.
"""
