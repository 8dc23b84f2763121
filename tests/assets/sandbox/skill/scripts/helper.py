NAME = "helper beside the entry"
