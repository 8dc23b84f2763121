"""What both sides changed: finding, merging, keeping and resolving it. Merging is pure. I/O: the database."""
