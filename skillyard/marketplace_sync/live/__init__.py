"""The channel that says there is something new, both ends. It carries no data. I/O: WebSockets."""
