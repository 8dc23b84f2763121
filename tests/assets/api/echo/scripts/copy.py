"""Copy the file named first to the path named second, and standard input to the path named third."""

import pathlib
import sys

source, target, typed = sys.argv[1:4]
for path, content in ((target, pathlib.Path(source).read_bytes()), (typed, sys.stdin.buffer.read())):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_bytes(content)
