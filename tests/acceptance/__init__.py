"""Acceptance stories: what the product promises, shown on real processes and checked from the outside.

``make accept`` tells all of them, ``make accept ONLY=approval`` one. With ``BREAK=1`` a story is told over a copy of
the package in which what it guards is broken, and has to fail at the very check that is there for it.
"""
