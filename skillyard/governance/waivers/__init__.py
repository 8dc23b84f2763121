"""Waivers: a person lets one known finding be, for a reason and until a day. Values, rules and storage.

A waiver is kept apart from reports and joined to them whenever they are judged, so that one which runs out or is
revoked counts no more from that moment on.
"""
