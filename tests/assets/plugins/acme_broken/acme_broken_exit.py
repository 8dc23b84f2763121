"""A plug-in that leaves the process while it is imported."""

import sys

sys.exit("acme needs a licence key")
