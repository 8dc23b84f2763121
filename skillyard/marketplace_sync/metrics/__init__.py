"""Figures for Prometheus, fed by the code that does the work. I/O: none but what it reads from the database."""
