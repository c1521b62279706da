"""Training: data, stages, and the loop on accelerate."""
