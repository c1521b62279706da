"""The portrait-animation library. It knows nothing of ComfyUI and runs from a terminal."""
