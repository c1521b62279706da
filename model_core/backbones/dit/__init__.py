"""Stable Video-Driven Portraits: a Stable Diffusion 3.5 transformer over noisy, reference and driving tokens."""

from .backbone import DiTBackbone
from .conditioning import DiTConditioning, DiTReference
from .config import DiTConfig

__all__ = ["DiTBackbone", "DiTConditioning", "DiTConfig", "DiTReference"]
