"""Entries of a catalogue, own or mirrored: values, documents, order of changes, digest. I/O: the database."""
