"""The main story, told on real parts: a server process, tokens over HTTP, packages from the index, containers.

Belongs here: what the story does, what it checks of each step, what it says. Does not belong here: anything that makes
a step work; the demo uses the server as anybody else does.
"""
