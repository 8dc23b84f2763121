"""Requests and responses as pydantic models; pydantic stops here.

Belongs here: shapes, lengths and formats of what crosses HTTP, and how the runtime's values map to them.
Does not belong here: rules about what is allowed. I/O: none.
"""
