"""End with an exit code, after saying something that is no UTF-8."""

import sys

sys.stdout.buffer.write(b"caf\xe9\n")
sys.exit(3)
