"""What goes up to a remote: edits, versions, ratings and counts, through an outbox. I/O: the database, HTTP."""
