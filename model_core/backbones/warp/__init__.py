"""The reference moved to where the motion signal says: an optional part that narrow networks of any family share."""

from .reference_warp import Flow, Moved, ReferenceWarp, WarpSource

__all__ = ["Flow", "Moved", "ReferenceWarp", "WarpSource"]
