"""The HTTP edge: a FastAPI application over ``skillyard.runtime``.

Belongs here: routes, bearer tokens, request and response schemas, the one table from errors to HTTP statuses.
Does not belong here: any decision; a route calls one function of the runtime. I/O: HTTP.
"""
