"""The index over a catalogue's entries: full text, facets, sorting, paging. I/O: the database."""
