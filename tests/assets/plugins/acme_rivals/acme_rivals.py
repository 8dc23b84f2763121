"""Takes names that are taken: ours, and another third party's. Importing it would be noticed."""

raise AssertionError("a refused duplicate must not be imported")
