"""A package that leaves things where calls are to find nothing, and a process, when it is imported."""

import os
import time

for place in ("/scratch/work", "/scratch/cache", "/tmp", "/dev/shm"):
    with open(f"{place}/litter", "w") as stream:
        stream.write("litter")
os.chmod("/tmp", 0o1777)
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
    os._exit(0)
