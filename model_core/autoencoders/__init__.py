"""Latents in and out."""

from .autoencoder import FoldAutoencoder, KLAutoencoder, build_autoencoder

__all__ = ["FoldAutoencoder", "KLAutoencoder", "build_autoencoder"]
