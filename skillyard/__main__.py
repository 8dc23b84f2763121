"""``python -m skillyard``: the console script, for where scripts are not on the path."""

from __future__ import annotations

from skillyard.cli.main import main

if __name__ == "__main__":
    main()
