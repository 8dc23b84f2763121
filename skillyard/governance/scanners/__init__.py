"""Our own implementations of ``governance.scanner.Scanner``; each reads the target and never runs any of it.

I/O: the advisory index and the skill's files, both read-only.
"""
