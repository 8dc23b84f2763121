"""Mirroring a remote: snapshot, feed, checkpoint, what was set aside; installing from it. I/O: the database, files."""
