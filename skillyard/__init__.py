"""Skillyard: a self-hosted marketplace runtime for AI-agent skills.

A skill travels one way through this package:
folder → Skill → Lock → Report → Allow | Hold | Deny → Environment → Sandbox → Outcome.
Each subpackage is one stage or one noun of that sentence; only ``skillyard.runtime`` joins them.
"""

__version__ = "0.1.0"
