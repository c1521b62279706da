"""Which of the 478 landmarks outline which face component.

The rings are the connections that MediaPipe documents (``FaceLandmarksConnections``), put in order around
each contour; a test compares them with what the installed MediaPipe exports. They are written out here so
that drawing and training need no MediaPipe. Two things it does not export as a contour: the nose is the
outline of the mesh from the root between the eyes to the wings, and a lip is the band between the outer and
the inner ring of the mouth. Left and right are the person's own.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from ..types import Component

_OUTER_LIP_TOP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_OUTER_LIP_BOTTOM = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
_INNER_LIP_TOP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_INNER_LIP_BOTTOM = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)

_RINGS: dict[Component, tuple[int, ...]] = {
    Component.LEFT_BROW: (276, 283, 282, 295, 285, 336, 296, 334, 293, 300),
    Component.RIGHT_BROW: (46, 53, 52, 65, 55, 107, 66, 105, 63, 70),
    Component.LEFT_EYE: (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    Component.RIGHT_EYE: (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    Component.LEFT_IRIS: (474, 475, 476, 477),
    Component.RIGHT_IRIS: (469, 470, 471, 472),
    Component.NOSE: (
        *(168, 417, 351, 399, 456, 420, 429, 279, 278, 294, 327, 326),
        *(2, 97, 98, 64, 48, 49, 209, 198, 236, 174, 122, 193),
    ),
    Component.UPPER_LIP: (*_OUTER_LIP_TOP, *reversed(_INNER_LIP_TOP)),
    Component.LOWER_LIP: (*_OUTER_LIP_BOTTOM, *reversed(_INNER_LIP_BOTTOM)),
    Component.INNER_MOUTH: (*_INNER_LIP_TOP, *reversed(_INNER_LIP_BOTTOM[1:-1])),
    Component.FACE: (
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
    ),
}

RINGS = MappingProxyType({component: np.array(ring, dtype=np.intp) for component, ring in _RINGS.items()})
"""Per component, the landmarks of its closed outline, in order. An iris has four: the ends of two axes."""

OUTER_MOUTH = np.array((*_OUTER_LIP_TOP, *reversed(_OUTER_LIP_BOTTOM[1:-1])), dtype=np.intp)
"""The outline of both lips together."""

OUTER_MOUTH_RINGS = (_OUTER_LIP_TOP, _OUTER_LIP_BOTTOM)
INNER_MOUTH_RINGS = (_INNER_LIP_TOP, _INNER_LIP_BOTTOM)
"""Upper and lower edge of the outer and of the inner mouth, from the right corner to the left one."""

LEFT_IRIS_CENTRE = 473
RIGHT_IRIS_CENTRE = 468

CORNERS = MappingProxyType(
    {
        Component.LEFT_EYE: (362, 263),
        Component.RIGHT_EYE: (133, 33),
        Component.LEFT_BROW: (285, 276),
        Component.RIGHT_BROW: (55, 46),
    }
)
"""Inner and outer end (towards the nose, towards the ear) of the components that come in pairs."""

OTHER_SIDE = MappingProxyType(
    {
        Component.LEFT_EYE: Component.RIGHT_EYE,
        Component.RIGHT_EYE: Component.LEFT_EYE,
        Component.LEFT_BROW: Component.RIGHT_BROW,
        Component.RIGHT_BROW: Component.LEFT_BROW,
    }
)


def visible_side(landmarks: np.ndarray, component: Component, *, threshold: float = 0.15) -> bool:
    """Whether an eye or a brow faces the viewer.

    In profile the mesh folds the far eye and brow outside the face. Seen from the front, the way from a
    component's inner to its outer end runs away from the nose; turned out of sight it shrinks to nothing and
    then runs the other way. Only widths across the face are compared, so blinking, rolling and raised brows
    do not matter.

    Args:
        landmarks: (478, >=2) in any unit.
        component: an eye or a brow.
        threshold: smallest width that counts as visible, as part of the other side's width.
    """
    here, there = _width(landmarks, component), _width(landmarks, OTHER_SIDE[component])
    return here >= threshold * abs(there)


def _width(landmarks: np.ndarray, component: Component) -> float:
    """Extent from inner to outer end across the face, negative where it is folded over."""
    inner, outer = CORNERS[component]
    way_x, way_y = (landmarks[outer, :2] - landmarks[inner, :2]).tolist()
    # down the face: from the root of the nose to the middle of the lips
    down_x, down_y = (landmarks[0, :2] - landmarks[168, :2]).tolist()
    across = way_x * down_y - way_y * down_x
    return across if component in (Component.LEFT_EYE, Component.LEFT_BROW) else -across
