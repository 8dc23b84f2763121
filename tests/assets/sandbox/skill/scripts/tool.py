"""A script as public skills have them: argv, standard input, files in and out, an exit code."""

import argparse
import atexit
import pathlib
import sys
import threading


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--in", dest="source")
    parser.add_argument("--out", dest="target")
    parser.add_argument("--exit", type=int, default=0)
    parser.add_argument("--raise", dest="error", action="store_true")
    options = parser.parse_args()
    print("name", __name__)
    print("stdin", sys.stdin.read())
    if options.source and options.target:
        pathlib.Path(options.target).write_text(pathlib.Path(options.source).read_text().upper())
    atexit.register(lambda: print("at exit"))
    threading.Thread(target=lambda: print("thread done")).start()
    if options.error:
        raise RuntimeError("told to")
    exit(options.exit)


if __name__ == "__main__":
    main()
