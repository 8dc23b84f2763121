"""Reports in other tools' formats: SARIF for findings, CycloneDX for packages with their vulnerabilities and waivers.

Pure functions from a report and what it is about to a document; no I/O, no clock, nothing that a report does not say.
"""
