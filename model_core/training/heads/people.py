"""Anybody: a person with skin, hair, clothes and light of their own, all drawn from one generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from .hair import Style
from .paint import Colour, Look
from .performance import both
from .scene import Lighting, Optics
from .studio import Person

_SKINS = np.array(
    [(0.66, 0.44, 0.35), (0.52, 0.31, 0.22), (0.36, 0.19, 0.115), (0.19, 0.09, 0.052), (0.08, 0.036, 0.021)]
)
"""From pale to dark, linear."""
_HAIRS = np.array(
    [
        *((0.012, 0.009, 0.008), (0.03, 0.017, 0.010), (0.08, 0.042, 0.020), (0.20, 0.11, 0.045)),
        *((0.42, 0.29, 0.14), (0.22, 0.065, 0.018), (0.30, 0.29, 0.28), (0.62, 0.60, 0.57)),
    ]
)
"""Black, two browns, two blonds, red, grey and white."""
_DARK_SKIN = 2.4
"""Place among the skins from which on hair is dark or grey."""
_IRISES = np.array(
    [(0.05, 0.024, 0.012), (0.10, 0.055, 0.03), (0.085, 0.075, 0.03), (0.09, 0.15, 0.21), (0.16, 0.19, 0.20)]
)
_STRANDS = 5000


def random_person(random: Generator) -> Person:
    """Somebody, whom nobody has seen before."""
    tone = float(random.uniform(0, len(_SKINS) - 1))
    skin = _between(_SKINS, tone) * random.uniform(0.85, 1.2) * random.uniform(0.96, 1.04, 3)
    colour = _hair_colour(random, tone)
    style = _style(random, colour)
    return Person(
        identity_seed=int(random.integers(1 << 30)),
        look=_look(random, skin, colour, hairy=style is not None),
        style=style,
        optics=Optics(
            iris=_as_colour(_between(_IRISES, float(random.uniform(0, len(_IRISES) - 1)))),
            iris_radius=float(random.uniform(0.58, 0.66)),
            pupil=float(random.uniform(0.28, 0.5)),
            shine=float(random.uniform(0.4, 1.5)),
            grain=float(random.uniform(0.25, 0.7)),
        ),
        strength=float(random.uniform(0.6, 1.0)),
        rest=_manner(random),
        clothes=_as_colour(random.beta(1.0, 2.2) * 0.9 * random.dirichlet((2, 2, 2)) * 3),
        neckline=float(random.uniform(-11.8, -10.6)),
        lighting=random_lighting(random),
    )


def random_lighting(random: Generator) -> Lighting:
    """From a flat grey day to a single hard lamp."""
    soft = float(random.uniform(0, 1))
    side = float(random.choice((-1, 1)))
    lamps = [
        _towards(side * random.uniform(0.0, 1.25), random.uniform(0.0, 0.9)),
        _towards(-side * random.uniform(0.4, 1.4), random.uniform(-0.3, 0.4)),
        _towards(-side * random.uniform(2.0, 2.8), random.uniform(0.0, 0.8)),
    ]
    strong = np.array(
        [2.1 - 1.3 * soft, random.uniform(0.1, 0.5), random.choice((0.0, 1.0)) * random.uniform(0.3, 1.4)]
    )
    colours = strong[:, None] * np.stack([_tint(random, 0.08) for _ in lamps])
    sky = (0.18 + 0.42 * soft) * _tint(random, 0.07)
    return Lighting(
        lamps=np.array(lamps, np.float32),
        colours=colours.astype(np.float32),
        sky=_as_colour(sky),
        ground=_as_colour(sky * random.uniform(0.3, 0.75) * _tint(random, 0.12)),
        exposure=float(random.uniform(0.9, 1.45)),
    )


def photo_lighting(random: Generator) -> Lighting:
    """Light of strength 1 on what faces the viewer: a photograph's own light is in its colours already."""
    light = random_lighting(random)
    lamps = light.lamps / np.linalg.norm(light.lamps, axis=1, keepdims=True)
    wrap = 0.3
    lit = (light.colours * ((lamps[:, 2:] + wrap) / (1 + wrap) ** 2).clip(0, 1)).sum(axis=0)
    level = float((lit + (np.array(light.sky) + np.array(light.ground)) / 2).mean())
    return replace(
        light,
        colours=light.colours / level,
        sky=_as_colour(np.array(light.sky) / level),
        ground=_as_colour(np.array(light.ground) / level),
        exposure=1.0,
    )


def _look(random: Generator, skin: np.ndarray, hair: np.ndarray, *, hairy: bool) -> Look:
    made_up = random.random() < 0.3
    red = np.array([0.72, 0.42, 0.42]) * random.uniform(0.85, 1.2, 3)
    lips = skin * red
    if made_up:
        lips = lips * 0.4 + np.array([0.42, 0.04, 0.06]) * random.uniform(0.3, 1.0) * 0.6
    brows = np.minimum(hair * 0.6, skin * 0.4)
    return Look(
        skin=_as_colour(skin),
        lips=_as_colour(lips),
        brows=_as_colour(brows),
        teeth=_as_colour(np.array([0.72, 0.66, 0.55]) * random.uniform(0.8, 1.12) * random.uniform(0.94, 1.06, 3)),
        blush=float(random.uniform(0.1, 0.8)),
        freckles=float(random.beta(0.6, 2.0)),
        blotches=float(random.uniform(0.2, 0.7)),
        stubble=0.0 if made_up or random.random() < 0.55 else float(random.uniform(0.2, 1.3)),
        shadow=float(random.uniform(0.5, 1.2) if made_up else random.uniform(0.0, 0.5)),
        brow_strength=float(random.uniform(0.55, 1.0)),
        scalp=_as_colour(hair * 0.8) if hairy else None,
        seed=int(random.integers(1 << 30)),
    )


def _hair_colour(random: Generator, tone: float) -> np.ndarray:
    choices = (0, 0, 0, 1, 6) if tone > _DARK_SKIN else (0, 1, 2, 3, 4, 5, 6, 7)
    return np.asarray(_HAIRS[int(random.choice(choices))] * random.uniform(0.8, 1.25, 3))


def _style(random: Generator, colour: np.ndarray) -> Style | None:
    """Bald, cropped, combed back, chin-long or long."""
    kind = random.choice(["bald", "cropped", "back", "bob", "long"], p=[0.08, 0.2, 0.27, 0.2, 0.25])
    if kind == "bald":
        return None
    seed, tint = int(random.integers(1 << 30)), _as_colour(colour)
    if kind == "cropped":
        length = float(random.uniform(1.0, 3.0))
        return Style(
            length=(length, 0.3),
            colour=tint,
            strands=_STRANDS,
            points=6,
            parting=None,
            volume=0.4,
            wave=(0.1, 2.0),
            width=0.16,
            stiffness=0.97,
            lift=0.5,
            sides=float(random.uniform(0.3, 0.9)),
            seed=seed,
        )
    if kind == "back":
        return Style(
            length=(float(random.uniform(4.0, 8.0)), 0.7),
            colour=tint,
            strands=_STRANDS,
            points=10,
            parting=None,
            volume=float(random.uniform(0.5, 1.6)),
            wave=(float(random.uniform(0.05, 0.3)), float(random.uniform(1.0, 2.5))),
            width=0.14,
            stiffness=0.95,
            lift=float(random.uniform(0.1, 0.3)),
            sides=float(random.uniform(0.2, 0.7)),
            seed=seed,
        )
    length = random.uniform(9.0, 15.0) if kind == "bob" else random.uniform(17.0, 26.0)
    return Style(
        length=(float(length), 1.4),
        colour=tint,
        strands=_STRANDS,
        points=16,
        parting=float(random.uniform(-3.0, 3.0)),
        volume=float(random.uniform(0.7, 1.7)),
        wave=(float(random.uniform(0.1, 0.7)), float(random.uniform(0.5, 1.4))),
        width=0.14,
        seed=seed,
    )


def _manner(random: Generator) -> dict[str, float]:
    """How a face is held at rest: lips and lids a little more or less closed."""
    lids = float(random.uniform(-0.2, 0.25))
    made = both(eyeBlink=max(lids, 0.0) * 0.6, eyeSquint=float(random.uniform(0, 0.2)))
    made |= both(mouthPress=float(random.uniform(0, 0.3)))
    mood = float(random.normal(0, 0.18))
    return made | both(mouthSmile=max(mood, 0.0), mouthFrown=max(-mood, 0.0) * 0.7)


def _between(colours: np.ndarray, place: float) -> np.ndarray:
    first = min(int(place), len(colours) - 2)
    return np.asarray(colours[first] + (place - first) * (colours[first + 1] - colours[first]))


def _tint(random: Generator, strength: float) -> np.ndarray:
    """Warm to cool, with a little of anything."""
    warm = random.normal(0, strength)
    return np.asarray(np.array([1 + warm, 1.0, 1 - warm]) * random.normal(1, strength / 4, 3))


def _towards(aside: float, up: float) -> np.ndarray:
    return np.array([np.sin(aside) * np.cos(up), np.sin(up), np.cos(aside) * np.cos(up)])


def _as_colour(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 0.0, 1.0).tolist()
    return red, green, blue
