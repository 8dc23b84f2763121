"""Where it runs: resolvers, the wheel store and environments, base images, hardened containers, the guest inside.

Belongs here: every outside tool that a skill's packages or code pass through (uv, the Docker Engine).
Does not belong here: deciding whether something may run: a sandbox takes a ``Granted``, which only an Allow carries.
I/O: subprocesses, disk, the Docker Engine. Nothing of a skill executes outside a container.
"""
