"""Resolvers, one module per tool: declared packages in, a hashed lock out. Nothing of a package is executed."""
