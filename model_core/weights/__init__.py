"""Weights files: reading, writing, loading strictly, and where to download those we do not ship."""
