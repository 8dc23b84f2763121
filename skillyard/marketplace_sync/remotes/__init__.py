"""Remote marketplaces: which there are, whether they may be reached, and one thin client for each protocol.
I/O: HTTP, the database."""
