import sys

import bombs

getattr(bombs, sys.argv[1])()
