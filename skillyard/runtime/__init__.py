"""The sentence of the project, joined up: install, decide, admit, materialise, start, invoke, swap, record.

Belongs here: the only code that knows all rooms, the stores of installed skills and invocations, the composition root.
Does not belong here: HTTP, terminals, and the inner workings of any room. I/O: through the rooms it joins.
"""
