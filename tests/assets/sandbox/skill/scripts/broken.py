import module_that_nobody_has


def run():
    return module_that_nobody_has
