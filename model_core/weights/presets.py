"""What no weights file says: the schedule, sampling and conditioning that public models were trained and used with.

Read in the peers' own code: Moore-AnimateAnyone a914ef3, FollowYourEmoji 8e42c5f, AnimateDiff e92bd56. Their guidance
is classifier-free over the reference: in signal fusion that is ``identity`` = ``motion`` = the scale. None of them ever
saw clean frames in front of noisy ones, so there is no history; windows are joined by overlap, and chunks are long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from ..config import SamplingConfig, ScheduleConfig
from ..types import MotionKind

Role = Literal["denoiser", "reference_net", "motion", "pose_guider", "pose_guider_2", "image_encoder", "autoencoder"]
ROLES: tuple[Role, ...] = (
    "denoiser", "reference_net", "motion", "pose_guider", "pose_guider_2", "image_encoder", "autoencoder"
)  # fmt: skip
"""The parts that a model is assembled from."""

_LONG_CHUNK = 240
_GUIDANCE = 3.5


@dataclass(frozen=True)
class Preset:
    """How one family of public weights is used.

    Attributes:
        title: as shown to users.
        about: what drives it, in a sentence.
        backbone: settings of ``UNetConfig`` that no shape tells.
        needs: the roles without which it does not run.
        files: where the file of a role is found, for the message about a missing one.
    """

    title: str
    about: str
    size: tuple[int, int]
    motion_kind: MotionKind
    backbone: Mapping[str, Any]
    schedule: ScheduleConfig
    sampling: SamplingConfig
    needs: tuple[Role, ...] = tuple(role for role in ROLES if role != "pose_guider_2")
    files: Mapping[Role, str] = field(default_factory=dict)


def _sampling(*, steps: int, window: int) -> SamplingConfig:
    return SamplingConfig(
        steps=steps,
        window=window,
        overlap=4,
        identity=_GUIDANCE,
        motion=_GUIDANCE,
        history=0,
        chunk=_LONG_CHUNK,
    )


_CLIP = "the image_encoder folder of lambdalabs/sd-image-variations-diffusers"
_VAE = "stabilityai/sd-vae-ft-mse, or a Stable Diffusion 1.5 file, which holds one"
_LINEAR = ScheduleConfig(beta_schedule="linear")

_MOORE = "patrolli/AnimateAnyone"
MOORE_POSE2VID = Preset(
    title="Moore-AnimateAnyone, pose2vid",
    about="trained on drawn body skeletons, which this project does not draw: it runs with any picture signal of its "
    "size, and is a starting point for training",
    size=(784, 512),
    motion_kind="parsing_map",
    backbone={
        "prediction_type": "v_prediction",
        "prompt_resize": "pil_stretch",
        "separate_foreground": False,
        "unconditional_motion": True,
    },
    schedule=_LINEAR,
    sampling=_sampling(steps=30, window=24),
    files={
        "denoiser": f"denoising_unet.pth of {_MOORE}",
        "reference_net": f"reference_unet.pth of {_MOORE}",
        "motion": f"motion_module.pth of {_MOORE}",
        "pose_guider": f"pose_guider.pth of {_MOORE}",
        "image_encoder": _CLIP,
        "autoencoder": _VAE,
    },
)
_REENACT = "Moore-AnimateAnyone's face reenactment (its README links them)"
MOORE_REENACT = Preset(
    title="Moore-AnimateAnyone, face reenactment",
    about="driven by drawn landmarks, the head's and the mouth's apart, through two PoseGuiders",
    size=(512, 512),
    motion_kind="split_landmarks",
    backbone={**MOORE_POSE2VID.backbone, "pose_guiders": 2, "unconditional_reference": "zeros"},
    schedule=_LINEAR,
    sampling=_sampling(steps=20, window=24),
    needs=ROLES,
    files={
        "denoiser": f"denoising_unet.pth of {_REENACT}",
        "reference_net": f"reference_unet.pth of {_REENACT}",
        "motion": f"denoising_unet.pth of {_REENACT}",
        "pose_guider": f"pose_guider1.pth of {_REENACT}",
        "pose_guider_2": f"pose_guider2.pth of {_REENACT}",
        "image_encoder": _CLIP,
        "autoencoder": _VAE,
    },
)
_FYE = "YueMafighting/FollowYourEmoji"
FOLLOW_YOUR_EMOJI = Preset(
    title="FollowYourEmoji",
    about="driven by drawn landmarks",
    size=(512, 512),
    motion_kind="drawn_landmarks",
    backbone={
        "prediction_type": "v_prediction",
        "prompt_kind": "tokens",
        "prompt_resize": "pil_crop",
        "separate_foreground": False,
        "unconditional_motion": True,
    },
    schedule=ScheduleConfig(beta_schedule="scaled_linear"),
    sampling=_sampling(steps=30, window=16),
    files={
        "denoiser": f"unet.pth of {_FYE}",
        "reference_net": f"referencenet.pth of {_FYE}",
        "motion": f"unet.pth of {_FYE}",
        "pose_guider": f"lmk_guider.pth of {_FYE}",
        "image_encoder": _CLIP,
        "autoencoder": _VAE,
    },
)
STABLE_DIFFUSION = Preset(
    title="Stable Diffusion 1.5 with AnimateDiff",
    about="VividPortraits' networks before their training: what the PoseGuider was trained to read drives it",
    size=(512, 512),
    motion_kind="parsing_map",
    backbone={"prediction_type": "epsilon", "separate_foreground": True},
    schedule=ScheduleConfig(beta_schedule="linear", prediction_type="epsilon", rescale_betas_zero_snr=False),
    sampling=_sampling(steps=25, window=16),
    files={
        "denoiser": "a Stable Diffusion 1.5 file or folder",
        "reference_net": "a Stable Diffusion 1.5 file or folder",
        "motion": "mm_sd_v15_v2.ckpt, v3_sd15_mm.ckpt or mm_sd_v15.ckpt of guoyww/animatediff",
        "pose_guider": "a PoseGuider: this project's training writes one, so do AnimateAnyone's and FollowYourEmoji's",
        "image_encoder": _CLIP,
        "autoencoder": _VAE,
    },
)


def as_published(preset: Preset, *, overlap: int, rounded: bool) -> Preset:
    """The same weights run exactly as their authors' code runs them, quirks included: for comparisons, not for use.

    Windows stay in place and wrap around (``sampling.windows.WrappedWindows`` says what is wrong with that), DDIM's
    last step may leave some noise, and AnimateAnyone rounds the reference's tokens. Ours is better in each; hence no
    default.

    Args:
        overlap: of the windows; FollowYourEmoji's code passes 0 whatever its setting says.
        rounded: see ``UNetConfig.round_reference``.
    """
    return replace(
        preset,
        title=f"{preset.title}, exactly as published",
        backbone={**preset.backbone, "round_reference": rounded},
        schedule=replace(preset.schedule, clean_end=False),
        sampling=replace(preset.sampling, overlap=overlap, wrapped=True, cyclic=False),
    )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "stable_diffusion": STABLE_DIFFUSION,
        "moore_pose2vid": MOORE_POSE2VID,
        "moore_pose2vid_as_published": as_published(MOORE_POSE2VID, overlap=4, rounded=True),
        "moore_reenact": MOORE_REENACT,
        "follow_your_emoji": FOLLOW_YOUR_EMOJI,
        "follow_your_emoji_as_published": as_published(FOLLOW_YOUR_EMOJI, overlap=0, rounded=False),
    }
)
"""By the name that ``preset`` takes where the files alone would choose another."""
