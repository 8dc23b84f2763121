"""What runs inside a sandbox's container: relay, zygote, child. Standard library only.

This folder is mounted read-only into containers under the same package name, so that its modules import each other
the same way on both sides. Nothing here may import anything else of the project; the host imports ``frames`` alone.
I/O: the container's own descriptors, processes and scratch folders.
"""
