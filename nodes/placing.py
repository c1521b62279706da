"""How the driver's motion is placed on the portrait: what the motion nodes and Animate Portrait Video ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import bridge
from .aliases import search_aliases
from .sockets import StrengthSocket

if TYPE_CHECKING:
    from ..model_core.motion.scenes import MotionSettings

CATEGORY = "VividPortraits/motion"

ALIGNMENTS = ("retarget", "relative", "absolute")
ALIGNMENT_WORDS = (
    "retarget: the driver's expression and head movement on the portrait's own face, which keeps its proportions. "
    "relative: the whole driving face, moved and scaled from the portrait's own place and size. absolute: the driving "
    "frame laid over the portrait as it is."
)
_HEAD, _EXPRESSION = ("head_rotation", "head_translation"), ("mouth", "eyes", "brows", "gaze")
_PARTS = {"everything": (), "expression only": _HEAD, "head only": _EXPRESSION}
"""Per choice, the regions that count as 0 whatever their numbers say."""
_FRONTAL = -1


def placing_inputs(*turnings: str, words: str = "") -> list[Any]:
    """The optional inputs behind the alignment.

    Args:
        turnings: choices in front of "relative" and "absolute".
        words: what they mean, for the tooltip.
    """
    options = [*turnings, "relative", "absolute"]
    return [
        StrengthSocket.Input(
            "strength",
            optional=True,
            tooltip="From Motion Strength: how much of the motion arrives, by region. Only with alignment retarget.",
        ),
        io.Combo.Input(
            "turning",
            options=options,
            default=options[0],
            optional=True,
            tooltip="Only with alignment retarget. relative: a portrait in three-quarter view stays in it and turns "
            f"from there. absolute: the head is turned as the driver's is.{words}",
        ),
        io.Int.Input(
            "rest_frame",
            default=0,
            min=_FRONTAL,
            max=1_000_000,
            optional=True,
            tooltip="The driving frame in which the driver looks as the portrait does: motion counts from it. -1 takes "
            "the most frontal and neutral one. After a cut, counted from the cut. Not with alignment absolute.",
        ),
    ]


def motion_settings(alignment: str, strength: Any, turning: str, rest_frame: int, edit: Any = None) -> MotionSettings:
    """What the inputs mean.

    Raises:
        InputError: strengths that this alignment cannot obey.
    """
    from ..model_core.motion.editing import ExpressionEdit
    from ..model_core.motion.scenes import MotionSettings
    from ..model_core.motion.strength import MotionStrength

    chosen = MotionStrength() if strength is None else strength
    if alignment != "retarget" and chosen != MotionStrength():
        raise bridge.InputError(
            f"strength: alignment {alignment} moves the face as a whole, so Motion Strength cannot tell regions apart; "
            "choose alignment retarget, or disconnect it"
        )
    return MotionSettings(
        placing=alignment,  # type: ignore[arg-type]
        strength=chosen,
        turning=turning,  # type: ignore[arg-type]
        rest_frame="frontal" if rest_frame == _FRONTAL else 0 if alignment == "absolute" else rest_frame,
        edit=ExpressionEdit() if edit is None else edit,
    )


def _region(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=1.0, min=0.0, max=3.0, step=0.05, round=0.001, tooltip=tooltip)


class MotionStrength(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VividPortraitsMotionStrength",
            display_name="Motion Strength",
            category=CATEGORY,
            **search_aliases("retargeting", "expression strength", "live portrait", "exaggerate", "expression only"),
            description="How much of the driver's motion arrives, region by region: 1 as it is, 0 none, more than 1 "
            "exaggerates.",
            inputs=[
                io.Combo.Input(
                    "parts",
                    options=list(_PARTS),
                    default="everything",
                    tooltip="What arrives at all. expression only: the head stays as the portrait holds it. head only: "
                    "the portrait keeps its expression. The numbers below say how much of it.",
                ),
                _region("head_rotation", "Turning, nodding and tilting of the head."),
                _region("head_translation", "Where the head goes, and how near it comes."),
                _region("mouth", "Lips, jaw and cheeks."),
                _region("eyes", "Lids: blinks, and eyes wide open."),
                _region("brows", "Brows and forehead."),
                _region("gaze", "Where the eyes look."),
            ],
            outputs=[
                StrengthSocket.Output(
                    display_name="strength",
                    tooltip="For Parsing Map Motion, Masked Frames Motion, Drawn Landmarks Motion and Animate Portrait "
                    "Video.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        parts: str,
        head_rotation: float,
        head_translation: float,
        mouth: float,
        eyes: float,
        brows: float,
        gaze: float,
    ) -> io.NodeOutput:
        from ..model_core.motion.strength import MotionStrength as Strength

        values = {
            "head_rotation": head_rotation,
            "head_translation": head_translation,
            "mouth": mouth,
            "eyes": eyes,
            "brows": brows,
            "gaze": gaze,
        }
        return io.NodeOutput(Strength(**{**values, **dict.fromkeys(_PARTS[parts], 0.0)}))
