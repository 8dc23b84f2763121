"""The command line: a thin skin over the same functions that the server calls, or over the server itself.

Belongs here: arguments, progress, tables, ``--json``, the one table from errors to exit codes.
Does not belong here: any decision. I/O: the terminal, and HTTP when a server is addressed.
"""
