"""Skin, lips and brows: what is painted on ICT-FaceKit's head, which comes without textures.

Everything is drawn into one picture over the front of the neutral head, in its own centimetres; the outlines below are
read off that mesh. Sides and back of the head have one colour and noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np

from .ict import Head
from .scene import SKIN_CORNER, SkinMap, Surface

PIXELS_PER_CM = 64
Colour = tuple[float, float, float]

OUTER_LIPS = np.array(
    [
        *((-2.42, -3.42), (-2.05, -3.20), (-1.60, -2.98), (-1.10, -2.74), (-0.62, -2.56), (-0.35, -2.53), (0.0, -2.65)),
        *((0.35, -2.53), (0.62, -2.56), (1.10, -2.74), (1.60, -2.98), (2.05, -3.20), (2.42, -3.42), (2.0, -3.72)),
        *((1.5, -3.96), (0.9, -4.11), (0.4, -4.17), (0.0, -4.19), (-0.4, -4.17), (-0.9, -4.11), (-1.5, -3.96)),
        (-2.0, -3.72),
    ]
)
"""(22, 2) in cm."""
BROW = np.array([(1.45, 4.72), (2.0, 4.95), (3.0, 5.17), (4.0, 5.30), (4.9, 5.12), (5.65, 4.55)])
"""(6, 2), the left brow's middle line from its inner end; the right one mirrors it."""
BROW_WIDTH = np.array([0.36, 0.38, 0.34, 0.27, 0.18, 0.06])
"""Half its height along this line."""
NECK = np.array([0.0, -8.0, 0.0], np.float32)
"""What a head turns about."""
_CHIN, _CHEST = -9.0, -15.0
"""Above the one all follows the head's turn, below the other nothing does."""
_LASH_ROOTS = np.array([0.988, 0.822, 0.656, 0.486, 0.320, 0.154])
"""Texture coordinate, downwards, of the roots of each strip of lashes: three of the upper lid, three of the lower."""
FIRST_INSIDE, _EYE_SOCKETS, _GUMS = 11248, 13294, 14062
"""The first vertices of the mouth's inside, of the eye sockets, and of what follows them."""


@dataclass(frozen=True)
class Look:
    """Colours of a person, linear, and how strong marks are.

    Attributes:
        skin, lips, brows, lashes: colours.
        blush: red of cheeks, nose and ears.
        freckles, blotches, stubble, shadow: strength in [0, 1]; shadow is that of make-up on the lids.
        teeth: colour.
        brow_strength: how well they cover the skin.
        scalp: colour of hair on the scalp; None is a bald head.
        seed: of all that is random.
    """

    skin: Colour = (0.50, 0.28, 0.19)
    lips: Colour = (0.36, 0.12, 0.10)
    brows: Colour = (0.035, 0.02, 0.012)
    lashes: Colour = (0.012, 0.008, 0.006)
    teeth: Colour = (0.70, 0.64, 0.54)
    blush: float = 0.5
    freckles: float = 0.3
    blotches: float = 0.5
    stubble: float = 0.0
    shadow: float = 0.2
    brow_strength: float = 0.75
    scalp: Colour | None = None
    seed: int = 0


def paint_skin(look: Look) -> SkinMap:
    """The picture on the front of the head."""
    frame = SkinMap(np.zeros((1, 1, 4), np.float32))
    width, height = (round(side * PIXELS_PER_CM) for side in frame.extent)
    random = np.random.default_rng(look.seed)
    x, y = np.meshgrid(
        frame.corner[0] + (np.arange(width) + 0.5) / PIXELS_PER_CM,
        frame.corner[1] + (np.arange(height) + 0.5) / PIXELS_PER_CM,
    )
    colour: np.ndarray = np.array(look.skin, np.float32) * np.ones((height, width, 1), np.float32)
    colour *= 1 + look.blotches * (
        0.10 * _noise(random, colour.shape, 1.4)[..., None]
        + np.array([0.02, 0.07, 0.07], np.float32) * _noise(random, colour.shape, 0.35)[..., None]
        + np.array([0.03, 0.05, 0.05], np.float32) * _noise(random, colour.shape, 0.08)[..., None]
    )
    colour *= 1 - np.array([0.02, 0.30, 0.26], np.float32) * look.blush * _blush(x, y)[..., None]
    colour *= 1 - np.array([0.22, 0.28, 0.26], np.float32) * look.shadow * _lids(x, y)[..., None]
    colour *= 1 - np.array([0.45, 0.38, 0.32], np.float32) * look.stubble * _beard(x, y, random)[..., None]
    colour = _with_freckles(colour, look, random)
    colour = _with_brows(colour, look, random)
    return SkinMap(_with_lips(colour, look, random, frame))


def _noise(random: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """(H, W) of unit deviation and features of ``scale`` cm."""
    height, width = shape[:2]
    step = scale * PIXELS_PER_CM
    small = random.normal(size=(int(height / step) + 4, int(width / step) + 4)).astype(np.float32)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large / large.std(), np.float32)


def _blob(x: np.ndarray, y: np.ndarray, at: tuple[float, float], radius: tuple[float, float]) -> np.ndarray:
    """A Gaussian on both sides of the face."""
    return np.asarray(np.exp(-(((abs(x) - at[0]) / radius[0]) ** 2) - ((y - at[1]) / radius[1]) ** 2), np.float32)


def _blush(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    cheeks = _blob(x, y, (4.3, -0.6), (1.9, 1.6))
    nose = _blob(x, y, (0.0, 0.1), (1.0, 0.9)) + 0.7 * _blob(x, y, (1.3, -0.3), (0.6, 0.6))
    return (
        0.8 * cheeks
        + 0.7 * nose
        + 0.4 * _blob(x, y, (0.0, -5.8), (1.5, 0.8))
        + 0.35 * _blob(x, y, (3.1, 2.5), (1.6, 0.6))
    )


def _lids(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Darker around the eye: crease above, rings below, and a line at the lashes."""
    crease = _blob(x, y, (3.2, 4.25), (1.5, 0.4))
    below = 0.45 * _blob(x, y, (2.7, 2.3), (1.3, 0.35))
    inner = 0.6 * _blob(x, y, (1.7, 3.4), (0.5, 0.8))
    return crease + below + inner


def _beard(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    jaw = 1 / (1 + np.exp((y + 3.4 - 0.34 * np.maximum(abs(x) - 3.2, 0) ** 1.5) * 2.5))
    lip = _blob(x, y, (0.9, -2.0), (1.6, 0.45))
    dots = 0.75 + 0.25 * _noise(random, x.shape, 0.05)
    return np.asarray(np.clip(np.maximum(jaw, lip), 0, 1) * dots, np.float32)


def _with_freckles(colour: np.ndarray, look: Look, random: np.random.Generator) -> np.ndarray:
    marks = np.zeros(colour.shape[:2], np.float32)
    for _ in range(round(900 * look.freckles)):
        side = random.choice((-1, 1))
        place = np.array([side * abs(random.normal(2.4, 1.8)), random.normal(0.4, 1.6)])
        radius = random.gamma(3.0, 0.011) + 0.012
        pixel = (place - SKIN_CORNER) * PIXELS_PER_CM
        strength = float(random.uniform(0.1, 0.5))
        cv2.circle(marks, _fixed(pixel), round(radius * PIXELS_PER_CM * 16), strength, -1, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(marks, (0, 0), 0.02 * PIXELS_PER_CM)[..., None]
    return colour * (1 - np.array([0.35, 0.5, 0.55], np.float32) * soft)


def _with_brows(colour: np.ndarray, look: Look, random: np.random.Generator) -> np.ndarray:
    """Short strokes along the brow over a soft shade."""
    strokes = np.zeros(colour.shape[:2], np.float32)
    for root, tip in brow_hairs(random, 420):
        line = [_fixed((point - SKIN_CORNER) * PIXELS_PER_CM) for point in (root, tip)]
        cv2.line(strokes, line[0], line[1], float(random.uniform(0.4, 0.9)), 1, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(strokes, (0, 0), 0.16 * PIXELS_PER_CM)
    cover = (look.brow_strength * np.clip(0.6 * strokes + 1.7 * soft, 0, 1))[..., None]
    return colour * (1 - cover) + np.array(look.brows, np.float32) * cover


def brow_hairs(random: np.random.Generator, count: int) -> np.ndarray:
    """(2 * count, 2, 2), roots and tips of the hairs of both brows, x and y in cm."""
    made = []
    for side in (1, -1):
        for _ in range(count):
            way = float(random.beta(1.1, 1.2)) * (len(BROW) - 1)
            start = int(min(way, len(BROW) - 2))
            share = way - start
            middle = BROW[start] * (1 - share) + BROW[start + 1] * share
            half = BROW_WIDTH[start] * (1 - share) + BROW_WIDTH[start + 1] * share
            off = float(random.uniform(-1, 1))
            along = BROW[start + 1] - BROW[start]
            along = along / np.linalg.norm(along)
            across = np.array([-along[1], along[0]])
            rise = 0.9 * max(0.0, 1 - way / 1.6) + 0.35 * (1 if off < 0 else -0.6)
            lean = along + across * (rise + random.normal(0, 0.18))
            root = middle + across * off * half
            tip = root + lean / np.linalg.norm(lean) * random.uniform(0.3, 0.6)
            made.append([root * (side, 1), tip * (side, 1)])
    return np.array(made)


def _with_lips(colour: np.ndarray, look: Look, random: np.random.Generator, frame: SkinMap) -> np.ndarray:
    filled = np.zeros(colour.shape[:2], np.float32)
    outline = (OUTER_LIPS - frame.corner) * PIXELS_PER_CM
    cv2.fillPoly(filled, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(filled, (0, 0), 0.055 * PIXELS_PER_CM)[..., None]
    creases = _noise(random, (colour.shape[0] // 12, colour.shape[1]), 0.05)
    creases = cv2.resize(creases, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    lips = np.array(look.lips, np.float32) * (1 + 0.05 * creases)
    return np.concatenate([colour * (1 - mask) + lips * mask, mask], axis=2).astype(np.float32)


def _fixed(pixel: np.ndarray) -> tuple[int, int]:
    """For OpenCV, in sixteenths of a pixel."""
    x, y = np.round(pixel * 16).astype(int).tolist()
    return x, y


def painted(head: Head, positions: np.ndarray, look: Look, *, gaze: tuple[float, float] = (0.0, 0.0)) -> list[Surface]:
    """A shaped head as surfaces.

    Args:
        positions: (V, 3), see ``Head.shape``; the head is upright.
        gaze: of both eyes in radians, towards the viewer's right and up.
    """
    rest = head.neutral
    front = np.clip((rest[:, 2] - 1.0) / 3.0, 0, 1) * np.clip((7.6 - abs(rest[:, 0])) / 1.2, 0, 1)
    skin = np.concatenate([np.tile(np.array(look.skin, np.float32), (len(rest), 1)), front[:, None]], axis=1)
    ears = np.clip((abs(rest[:, 0]) - 7.4) / 0.8, 0, 1)[:, None] * (rest[:, 1:2] > -4)
    skin[:, :3] *= 1 - np.array([0.0, 0.2, 0.2], np.float32) * look.blush * ears
    if look.scalp is not None:
        hidden = np.clip(hairline(rest) / 0.6, 0, 1)[:, None] * 0.85
        skin[:, :3] = skin[:, :3] * (1 - hidden) + np.array(look.scalp, np.float32) * hidden
        skin[:, 3:] *= 1 - hidden
    skin[FIRST_INSIDE:_GUMS] = (0.16, 0.03, 0.03, 0.0)
    skin[_EYE_SOCKETS:_GUMS, :3] = np.array(look.skin, np.float32) * (0.75, 0.5, 0.5)
    made = [Surface("skin", positions, head.triangles("M_Face", "M_BackHead"), skin, rest)]
    for material, colour in (("M_GumsTongue", (0.36, 0.10, 0.10)), ("M_Teeth", look.teeth)):
        made.append(Surface("wet", positions, head.triangles(material), _plain(colour, len(rest)), rest))
    made += [_eyeball(head, positions, side, gaze) for side in ("Left", "Right")]
    return [*made, _lashes(head, positions, look)]


T = TypeVar("T", np.ndarray, list[Surface])


def turned(shape: T, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> T:
    """A head, as positions (..., 3) or as surfaces, turned about the neck; the chest stays and the neck follows.

    Args:
        yaw, pitch, roll: in radians, towards the viewer's right, up, and the viewer's left shoulder.
    """
    turn = _about_y(yaw) @ _about_x(-pitch) @ _about_z(roll)
    if isinstance(shape, np.ndarray):
        follows = ((shape[..., 1:2] - _CHEST) / (_CHIN - _CHEST)).clip(0, 1)
        return (shape + follows * ((shape - NECK) @ turn.T + NECK - shape)).astype(np.float32)
    return [replace(part, positions=turned(part.positions, yaw=yaw, pitch=pitch, roll=roll)) for part in shape]


def _about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def hairline(rest: np.ndarray) -> np.ndarray:
    """How far (cm) points (..., 3) of the head at rest lie within the hair; negative outside."""
    x, y, z = np.abs(rest[..., 0]), rest[..., 1], rest[..., 2]
    depths = [-9.0, -4.0, -1.5, 0.6, 2.2, 3.4, 5.0, 7.0, 9.5]
    heights = [-7.5, -6.5, -3.0, 4.2, 4.6, 6.6, 8.3, 9.4, 9.9]
    return np.asarray(y - np.interp(z, depths, heights) + 0.25 * np.sin(x * 1.7))


def _plain(colour: Colour, count: int) -> np.ndarray:
    return np.tile(np.array([*colour, 0.0], np.float32), (count, 1))


def _lashes(head: Head, positions: np.ndarray, look: Look) -> Surface:
    """Strips of lashes, three to a lid; where on its strip a point lies, its texture coordinates say."""
    chosen = head.material == head.materials.index("M_EyeLashes")
    home = np.zeros_like(head.neutral)
    places = head.uv[head.faces_uv[chosen]]
    row = np.searchsorted(-_LASH_ROOTS, -places[..., 1] - 0.01, side="right") - 1
    along = (places[..., 0] - 6.012) % 0.498 / 0.478
    home[head.faces[chosen]] = np.stack([along, (_LASH_ROOTS[row] - places[..., 1]) / 0.14, row], axis=-1)
    return Surface("lashes", positions, head.faces[chosen], _plain(look.lashes, len(positions)), home)


def eye_middle(head: Head, positions: np.ndarray, side: str) -> np.ndarray:
    """(3,), what an eyeball turns about."""
    ball = positions[np.unique(head.triangles(f"M_Sclera{side}"))]
    return np.asarray((ball.min(axis=0) + ball.max(axis=0)) / 2)


def _eyeball(head: Head, positions: np.ndarray, side: str, gaze: tuple[float, float]) -> Surface:
    """The white with an iris painted on it; the mesh's own iris lies behind it and is left out."""
    used, triangles = np.unique(head.triangles(f"M_Sclera{side}"), return_inverse=True)
    middle = eye_middle(head, positions, side)
    home = head.neutral[used] - eye_middle(head, head.neutral, side)
    turned = (positions[used] - middle) @ gaze_turn(gaze).T + middle
    albedo = _plain((0.62, 0.58, 0.54), len(used))
    return Surface("eye", turned.astype(np.float32), triangles.reshape(-1, 3), albedo, home)


def gaze_turn(gaze: tuple[float, float]) -> np.ndarray:
    """(3, 3), how an eyeball turns to look towards the viewer's right and up by so many radians."""
    right, up = gaze
    return np.asarray(_about_y(right) @ _about_x(-up))


def _about_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
