"""Other people's vulnerability scanners over our own advisory index: second engines beside ``scanners.advisories``.

Belongs here: the loopback endpoint that serves the index as an OSV API (``loopback``, ``osv_answers``), the locked
environments that engines live in (``environments``), running them (``engine_run``), reading what they print
(``pip_audit_output``, ``safety_output``), and comparing what they say with the primary engine (``agreement``).
The scanners that drive them are ``governance.scanners.pip_audit`` and ``governance.scanners.safety``.
I/O: subprocesses, a socket on this machine, temporary folders; nothing leaves the machine.
"""
