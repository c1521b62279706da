"""Named exceptions: every message says which input is wrong and what to do about it."""

from __future__ import annotations


class PortraitError(Exception):
    """Base of every error that a user's input can cause."""


class InputError(PortraitError):
    """An image, video or setting cannot be used as given."""


class FaceNotFoundError(InputError):
    """No face where one is needed; the message names the input and the frames."""


class ModelNotFoundError(PortraitError):
    """A model or weights file is named that is neither bundled nor installed."""


class CheckpointError(PortraitError):
    """A weights file is truncated, foreign, or does not fit the network; lists every offending key."""


class DependencyError(PortraitError):
    """An optional package or its weights are missing; the message says how to get them."""


class NotFiniteError(PortraitError):
    """A network made NaN or infinite numbers; the message names the model and its number format."""


class VideoError(PortraitError):
    """A video cannot be read or written."""


class CancelledError(PortraitError):
    """Raised by a StepObserver to stop sampling; nothing is left behind."""
