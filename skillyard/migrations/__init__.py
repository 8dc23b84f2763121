"""The one history of the database schema, for every room's tables. Run by ``skillyard.database.migrate``."""
