"""Routes of the marketplace: the protocol that other instances speak, and what people of this one do."""
