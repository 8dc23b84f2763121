"""When the work is done: schedule, single flight across processes, the record of runs. I/O: the database."""
