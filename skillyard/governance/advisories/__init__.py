"""What is known to be wrong with packages: OSV records, matching them against versions, and the local index of them.

Belongs here: reading OSV records and what stands beside them (``osv``, ``records``, ``formats``), comparing versions
(``versions``, ``match``), the index file (``index``, ``deliveries``, ``index_build``), where records come from
(``source``, ``sources``, ``osv_export``), and replacing the index (``update``, ``updates``, ``attempts``).
Does not belong here: what a finding does to a verdict (``governance.scan``).
I/O: files, and HTTP in ``downloads`` alone; ``osv``, ``versions``, ``severity``, ``deliveries`` and ``match`` are pure.
"""
