"""Routes, a module per noun of the path. A route checks who asks, calls one use case, and shapes the answer."""
