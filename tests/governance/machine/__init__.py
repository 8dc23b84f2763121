"""A state machine that governs at random: what really happens, beside a simple model of what should.

``model`` says what should, and knows nothing of the product's code. ``realm`` is the product: stores, rules, views, the
writer of admissions. ``steps`` draws what is done next, does it to both, and compares.
"""
