"""The models in this repository, by name."""

BUNDLED = ("vivid-avatars", "driven-avatars")
"""One of each family, in the order in which they are offered."""
DEFAULT_MODEL = BUNDLED[0]
