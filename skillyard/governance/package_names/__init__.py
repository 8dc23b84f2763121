"""What a package's name alone tells: that it looks like a popular one, or should come from an index of one's own.

Signals for whoever reviews, and never proof: what is said here of a popular name's look-alikes is a FLAG. Pure but for
the lists of popular names, which are files of this package (``scripts/make_popular_names.py``).
"""
