"""Building the packages that exist only as source: their archives are fetched, read and unpacked here, and what runs of
them runs in a container without a network. Nothing in this package executes anything of a package on the host.

I/O: the package index, the engine, and the folders of built wheels and of staging.
"""
