"""What is known to be wrong with packages: OSV records, matching them against versions, and the local index of them.

Belongs here: reading OSV records (``osv``, ``records``), comparing versions (``versions``, ``match``), the index file
(``index``, ``index_build``), where records come from (``source``, ``sources``) and replacing the index (``update``).
Does not belong here: what a finding does to a verdict (``governance.scan``).
I/O: files, and HTTP in ``sources`` alone; ``osv``, ``versions``, ``severity`` and ``match`` are pure.
"""
