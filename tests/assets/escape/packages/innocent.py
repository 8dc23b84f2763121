"""A package like any other: imported once, before the first call."""

VALUE = "as imported"
TABLE = {"key": "as imported"}


def work():
    return "works"
