"""Claims about speed, measured: one module a claim, each beside what people would use instead, in the same run.

``make bench`` runs all of them and writes ``results.json``; ``docs/benchmarks.md`` says how to read it.
"""
