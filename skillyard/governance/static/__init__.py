"""The static scan of a skill's own files: read, decoded, parsed and matched; never executed or imported.

A file becomes one or more *views* (``view``): its own text, and what is hidden in it. A detector is a pure function
from a view to what it shows (``hit``): hits of rules, and capabilities, which are facts. Detectors that need the whole
skill get all views and all that was shown. Every rule is described once, beside its detector (``rule``).
"""
