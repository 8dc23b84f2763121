"""Two-way sync with a remote marketplace: catalogue, hub, change feed, replication, outbox, conflicts, schedule.

Nothing lives here yet. What will: both ends of the sync protocol, each following the authority split of the design
(publisher, hub, rater, local operator). What will not: deciding whether something that arrived may run; it is
installed, scanned and governed by ``runtime`` like anything else. I/O: HTTP and WebSocket to remotes, the database.
"""
