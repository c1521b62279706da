"""One small graph with every node of the pack, and the ways in which a value in it can be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Link = list[Any]
NAN = float("nan")
MISSING = object()
LONG = "x" * 300

REFUSED = "refused"
"""Before anything runs: HTTP 400."""
CHOICE = "choice"
"""As REFUSED where ComfyUI checks the choices of V3 nodes, as RUN where it does not (0.3.64)."""
RUN = "run"
"""By the node itself, when it runs."""

_PLACING: dict[str, Any] = {"alignment": "retarget", "width": 0, "height": 0}
_CLIP: dict[str, Any] = {"model": ["model", 0], "reference": ["reference", 0], "motion": ["motion", 0]}
_SAMPLER: dict[str, Any] = {"seed": 1, "steps": 1, "scheduler": "auto"}
_REGIONS = dict.fromkeys(("brows", "eyes", "irises", "nose", "lips", "inner_mouth", "face"), True)
_STRENGTHS = dict.fromkeys(("head_rotation", "head_translation", "mouth", "eyes", "brows", "gaze"), 1.0)
_FOLLOWED: dict[str, Any] = {"face_index": 0, "max_gap": 5, "smoothing": False}
_FOUND: dict[str, Any] = {**_FOLLOWED, "analyzer": ["analyzer", 0]}

GRAPH: dict[str, tuple[str, dict[str, Any]]] = {
    "number": ("PrimitiveInt", {"value": 4097}),
    "media": ("ExampleMedia", {"which": "demo", "frames": 2}),
    "analyzer": ("LoadFaceAnalyzer", {"backend": "mediapipe"}),
    "portrait": ("AnalyzeFaces", {**_FOUND, "images": ["media", 0]}),
    "driver": ("AnalyzeFaces", {**_FOUND, "images": ["media", 1]}),
    "landmarks": ("FollowFaceLandmarks", {**_FOLLOWED, "landmarks": {}, "images": ["media", 1]}),
    "mask": ("FaceRegionMask", {**_REGIONS, "track": ["driver", 0]}),
    "crop": ("CropFace", {"images": ["media", 1], "track": ["driver", 0], "margin": 0.6, "size": 64}),
    "paste": (
        "PasteFaceBack",
        {
            "images": ["crop", 0],
            "target": ["media", 1],
            "crop": ["crop", 1],
            "feather": 0.1,
            "match_colour": False,
        },
    ),
    "model": ("LoadPortraitModel", {"model": "vivid-avatars", "dtype": "auto"}),
    "files": ("LoadPortraitModelFiles", {}),
    "download": ("DownloadPortraitModel", {"file": "", "confirm": False}),
    "reference": (
        "EncodeReference",
        {"model": ["model", 0], "image": ["media", 0], "track": ["portrait", 0], "framing": "auto"},
    ),
    "motion": ("ParsingMapMotion", {**_PLACING, "driving": ["driver", 0], "reference": ["reference", 1]}),
    "frames": ("MaskedFramesMotion", {**_PLACING, "driving": ["driver", 0], "images": ["media", 1]}),
    "lines": ("DrawnLandmarksMotion", {**_PLACING, "driving": ["driver", 0], "style": "lines"}),
    "strength": ("MotionStrength", {**_STRENGTHS, "parts": "everything"}),
    "edit": ("EditExpression", {"track": ["portrait", 0], "smile": 0.5, "frames": 3, "keys": "0: 0, 2: 1"}),
    "fusion": ("SignalFusion", {"identity": 1.0, "motion": 1.0, "continuity": 1.0, "start": 0.0, "end": 1.0}),
    "windows": (
        "CyclicOverlapWindows",
        {"length": 4, "overlap": 1, "cyclic": True, "preview_frames": 8, "preview_steps": 2},
    ),
    "history": ("HistoryFrames", {"frames": 1, "chunk": 4}),
    "animate": ("AnimatePortrait", {**_CLIP, **_SAMPLER}),
    "decode": ("DecodePortrait", {"model": ["model", 0], "latents": ["animate", 0]}),
    "carry": ("CarryPortrait", {"reference": ["reference", 0], "motion": ["motion", 0]}),
    "guider": ("PortraitGuider", {**_CLIP}),
    "sigmas": ("PortraitSigmas", {"model": ["model", 0], "steps": 4, "denoise": 1.0}),
    "video": (
        "AnimatePortraitVideo",
        {
            **_SAMPLER,
            "model": ["model", 0],
            "analyzer": ["analyzer", 0],
            "image": ["media", 0],
            "video": ["media", 2],
            "paste": "none",
            "filename_prefix": "video/bad",
        },
    ),
    "create": ("CreatePortraitVideo", {"images": ["media", 1], "fps": 25.0, "mark_synthetic": True}),
    "save": (
        "SavePortraitImages",
        {"images": ["media", 0], "filename_prefix": "bad/frame", "mark_synthetic": True},
    ),
    "compare": (
        "CompareReenactment",
        {"generated": ["media", 1], "driving": ["media", 1], "reference": ["media", 0], "analyzer": ["analyzer", 0]},
    ),
}
"""Node by its name here: its kind without the pack's prefix, and values that are right."""

_CORE = {"PrimitiveInt"}
_ENDS = {"DownloadPortraitModel", "AnimatePortraitVideo", "SavePortraitImages", "CompareReenactment"}


@dataclass(frozen=True)
class Case:
    """A wrong value, and what has to be said.

    Attributes:
        node: its name in ``GRAPH``.
        changes: inputs to other values; ``MISSING`` takes one away.
        how: REFUSED, CHOICE or RUN.
        words: a regular expression that the message matches.
    """

    node: str
    changes: dict[str, Any]
    how: str
    words: str

    def __str__(self) -> str:
        wrong = "-".join(f"{name}={'missing' if v is MISSING else str(v)[:12]!a}" for name, v in self.changes.items())
        return f"{self.node}-{wrong}"


def kind(node: str) -> str:
    """The node's class as ComfyUI knows it."""
    name = GRAPH[node][0]
    return name if name in _CORE else f"VividPortraits{name}"


def prompt(case: Case) -> dict[str, Any]:
    """The part of the graph that the node needs, with the wrong value in it."""
    needed, made = [case.node], {}
    while needed:
        name = needed.pop()
        inputs = dict(GRAPH[name][1])
        if name == case.node:
            inputs = {key: value for key, value in {**inputs, **case.changes}.items() if value is not MISSING}
        made[name] = {"class_type": kind(name), "inputs": inputs}
        links = [value[0] for value in inputs.values() if isinstance(value, list) and value and value[0] in GRAPH]
        needed += [link for link in links if link not in made]
    if GRAPH[case.node][0] not in _ENDS:
        made["end"] = {"class_type": "PreviewAny", "inputs": {"source": [case.node, 0]}}
    return made


def _ranges() -> list[Case]:
    small, big = "smaller than min of", "bigger than max of"
    told = [
        ("windows", "length", 4097, big),
        ("windows", "length", 0, small),
        ("windows", "length", "long", "Failed to convert"),
        ("windows", "overlap", -1, small),
        ("windows", "preview_frames", 513, big),
        ("fusion", "identity", 21, big),
        ("fusion", "start", -0.1, small),
        ("fusion", "end", 1.5, big),
        ("history", "chunk", 0, small),
        ("history", "frames", "few", "Failed to convert"),
        ("strength", "mouth", 3.5, big),
        ("edit", "smile", 1.5, big),
        ("edit", "yaw", -90, small),
        ("animate", "steps", 1001, big),
        ("animate", "steps", -2, small),
        ("animate", "seed", -1, small),
        ("animate", "denoise", 0, small),
        ("sigmas", "steps", 1001, big),
        ("sigmas", "denoise", 2, big),
        ("video", "steps", 1001, big),
        ("video", "max_gap", -1, small),
        ("crop", "margin", 4.5, big),
        ("crop", "size", 4097, big),
        ("paste", "feather", 0.6, big),
        ("mask", "grow", 513, big),
        ("mask", "feather", -1, small),
        ("portrait", "face_index", 32, big),
        ("media", "frames", -1, small),
        ("create", "fps", 0, small),
        ("motion", "width", 4097, big),
        ("lines", "rest_frame", -2, small),
    ]
    return [Case(node, {name: value}, REFUSED, f"{words}.*{name}") for node, name, value, words in told]


def _missing() -> list[Case]:
    told = [
        ("windows", "length"),
        ("fusion", "start"),
        ("model", "model"),
        ("mask", "eyes"),
        ("animate", "scheduler"),
        ("animate", "motion"),
        ("video", "steps"),
        ("download", "file"),
        ("save", "filename_prefix"),
        ("carry", "reference"),
    ]
    return [Case(node, {name: MISSING}, REFUSED, f"Required input is missing.*{name}") for node, name in told]


def _choices() -> list[Case]:
    told = [
        ("model", "dtype", "floaty"),
        ("model", "attention", 5),
        ("files", "unet", "checkpoints/never_was.pth"),
        ("files", "dtype", "floaty"),
        ("download", "file", "other.bin"),
        ("analyzer", "backend", "dlib"),
        ("media", "which", "yours"),
        ("portrait", "missing", "drop"),
        ("reference", "framing", "wide"),
        ("motion", "alignment", "sideways"),
        ("frames", "turning", "auto"),
        ("lines", "style", "dots"),
        ("strength", "parts", "ears"),
        ("animate", "scheduler", "magic"),
        ("animate", "size", "600"),
        ("video", "paste", "elsewhere"),
    ]
    return [Case(node, {name: value}, CHOICE, f"{name}: {value!r} (not in|is not there)") for node, name, value in told]


def _models() -> list[Case]:
    told = {"never_was.safetensors": "never_was", 5: "5", "a\0b": "a", LONG: "xxx", "../../secret": "secret"}
    return [
        Case("model", {"model": name}, REFUSED, f"model '.*{word}.*' is not there; found: vivid-avatars")
        for name, word in told.items()
    ]


def _literals() -> list[Case]:
    told = [
        ("portrait", "images", 5, "IMAGE"),
        ("portrait", "analyzer", "mediapipe", "FACE_ANALYZER"),
        ("landmarks", "landmarks", 5, "FACE_LANDMARKS"),
        ("mask", "track", {"faces": 1}, "FACE_TRACK"),
        ("crop", "track", "face", "FACE_TRACK"),
        ("paste", "crop", 3, "FACE_CROP"),
        ("paste", "mask", 0.5, "MASK"),
        ("reference", "model", "vivid-avatars", "PORTRAIT_MODEL"),
        ("reference", "image", "portrait.png", "IMAGE"),
        ("reference", "track", 1, "FACE_TRACK"),
        ("motion", "driving", True, "FACE_TRACK"),
        ("frames", "images", 5, "IMAGE"),
        ("lines", "strength", 2.0, "PORTRAIT_STRENGTH"),
        ("video", "edit", 2.0, "PORTRAIT_EDIT"),
        ("history", "images", 5, "IMAGE"),
        ("animate", "reference", "me", "PORTRAIT_REFERENCE"),
        ("animate", "motion", 5, "PORTRAIT_MOTION"),
        ("animate", "guidance", 5, "PORTRAIT_GUIDANCE"),
        ("animate", "windows", 16, "PORTRAIT_WINDOWS"),
        ("animate", "history", 3, "PORTRAIT_HISTORY"),
        ("decode", "latents", {"samples": 1}, "LATENT"),
        ("carry", "motion", "nod", "PORTRAIT_MOTION"),
        ("guider", "start_images", 5, "IMAGE"),
        ("sigmas", "model", 5, "PORTRAIT_MODEL"),
        ("video", "video", "clip.mp4", "VIDEO"),
        ("create", "source", "clip.mp4", "VIDEO"),
        ("save", "images", 5, "IMAGE"),
        ("compare", "target", 5, "IMAGE"),
    ]
    return [Case(n, {name: value}, RUN, f"^{name}: .* is no {what}; connect") for n, name, value, what in told]


def _rules() -> list[Case]:
    """What no single input tells, and what ComfyUI does not look at."""
    return [
        Case("portrait", {"images": None}, RUN, "^images: nothing arrives; connect"),
        Case("windows", {"length": ["number", 0]}, RUN, "^length: 4097 is out of range; choose from 1 to 256"),
        Case("fusion", {"identity": NAN}, RUN, "^identity: nan is no finite number"),
        Case("animate", {"denoise": NAN}, RUN, "^denoise: nan is no finite number"),
        Case("landmarks", {"landmarks": {"frames": []}}, RUN, "^landmarks: not of the form that is known here"),
        Case("windows", {"overlap": 4}, RUN, "overlap 4: .* smaller than the window"),
        Case("fusion", {"start": 0.8, "end": 0.2}, RUN, "start 0.8, end 0.2"),
        Case("mask", dict.fromkeys(_REGIONS, False), RUN, "no part of the face is chosen"),
        Case("animate", {"scheduler": "lcm", "steps": 60}, RUN, "steps 60: the scheduler lcm makes at most 50"),
        Case("video", {"scheduler": "lcm", "steps": 60}, RUN, "steps 60: the scheduler lcm makes at most 50"),
        Case("files", {}, RUN, "no file is chosen"),
        Case("history", {"images": ["media", 1]}, RUN, "earlier images need their motion"),
        Case("decode", {"reference": ["reference", 0]}, RUN, "^motion: Decode Portrait needs reference and motion"),
        Case("edit", {"keys": "5: 1, 2: 0"}, RUN, "^keys .*: frames must rise"),
        Case("edit", {"image": ["media", 1]}, RUN, "^image: 2 of "),
        Case("lines", {"driving": ["edit", 0], "reference": None}, RUN, "^driving: has edited expressions"),
        Case("lines", {"strength": ["strength", 0]}, RUN, "^strength: counts on the portrait's face"),
    ]


def _prefixes() -> list[Case]:
    told = {
        "a\0b": "holds a character",
        "a\ud800b": "holds a character",
        LONG: "is too long",
        f"{LONG}/x": "is too long",
        "../../escape": "leads out of",
        "/etc/vividportraits/escape": "leads out of",
    }
    cases = [
        Case("save", {"filename_prefix": name}, RUN, f"^filename_prefix: .*{words}") for name, words in told.items()
    ]
    return [*cases, *(Case("video", case.changes, RUN, case.words) for case in cases)]


CASES = [*_ranges(), *_missing(), *_choices(), *_models(), *_literals(), *_rules(), *_prefixes()]
