"""Say something at once, then say no more until stopped, unless told to end."""

import sys
import time

sys.stdout.write("grüße\n")
sys.stdout.flush()
sys.stderr.write("on the other stream\n")
while "end" not in sys.argv:
    time.sleep(0.05)
