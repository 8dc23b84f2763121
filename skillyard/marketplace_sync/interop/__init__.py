"""What other installers read of this catalogue: the index of Agent Skills discovery, and a Claude-style marketplace.
I/O: the database; the archives that both name are the hub's."""
