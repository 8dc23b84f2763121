"""Say something at once, then say no more until stopped, unless told to end."""

import sys
import time

print("grüße", flush=True)
print("on the other stream", file=sys.stderr, flush=True)
while "end" not in sys.argv:
    time.sleep(0.05)
