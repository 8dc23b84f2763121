"""What other installers read of this catalogue: the index of Agent Skills discovery, and a Claude-style marketplace.
I/O: the database, files of published bundles."""
