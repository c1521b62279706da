"""The portrait carried by its own face mesh: motion and identity without a network."""

from .pixels import carry_pixels
from .portrait import Carried, PortraitLayers

__all__ = ["Carried", "PortraitLayers", "carry_pixels"]
