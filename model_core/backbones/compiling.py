"""torch.compile for a denoiser, where this machine can compile at all."""

from __future__ import annotations

import torch
from torch import nn


def compile_denoiser(denoiser: nn.Module, device: torch.device) -> str | None:
    """Compile a denoiser at its first call; its weights and their names stay as they are.

    Args:
        device: where it will run; what compiles for it is tried first, on next to nothing.
    Returns:
        why nothing was compiled, or None where it will be.
    """
    reason = _missing_compiler(device)
    if reason is None:
        denoiser.compile()
    return reason


def _missing_compiler(device: torch.device) -> str | None:
    try:
        torch.compile(torch.nn.functional.silu)(torch.zeros(16, device=device))
    except (RuntimeError, OSError, ImportError) as error:  # no C++ compiler, no Triton, no Python headers
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"torch.compile does not work here ({first}); install a C++ compiler, and Triton for a GPU"
    return None
