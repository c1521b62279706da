"""VividPortraits: a Stable Diffusion UNet with a ReferenceNet, a PoseGuider and temporal layers."""

from .backbone import UNetBackbone
from .conditioning import Reference, UNetConditioning
from .config import UNetConfig

__all__ = ["Reference", "UNetBackbone", "UNetConditioning", "UNetConfig"]
