"""A photograph as the outside of the head that the studio draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .atlas import Atlas
from .clothes import covered_triangles
from .ict import Head
from .performance import Pose
from .photo_colours import PhotoColours
from .scene import SkinMap, Surface


@dataclass(frozen=True)
class PhotoSkin:
    """A head's surface out of a photograph, ready to be drawn.

    Attributes:
        identity: (I,) weights.
        atlas: how the skin is cut.
        skin: the atlas's colours and where the person is.
        card: hair and clothes of the photograph; None leaves them to the studio.
        colours: of what is not skin.
        shading: in [0, 1], how much the studio's light adds to the photograph's.
        own: the pose in the photograph.
    """

    identity: np.ndarray
    atlas: Atlas
    skin: SkinMap
    card: Surface | None
    colours: PhotoColours
    shading: float
    own: Pose

    def dressed(self, head: Head, skin: Surface, others: Sequence[Surface]) -> list[Surface]:
        """The studio's painted head with the photograph instead of its skin."""
        atlas = self.atlas
        albedo = np.tile(np.array([1, 1, 1, self.shading], np.float32), (len(atlas.source), 1))
        outer = Surface("photo", skin.positions[atlas.source], atlas.triangles, albedo, atlas.places)
        if self.card is None:  # the studio's clothes hide what is below them
            whole = replace(skin, triangles=atlas.source[atlas.triangles])
            outer = replace(outer, triangles=atlas.triangles[covered_triangles(head, whole)])
        dark = skin.albedo.copy()
        dark[:, :3] = self.colours.toned(np.array([0.12, 0.03, 0.03]))
        made = [outer, replace(skin, triangles=atlas.inside, albedo=dark)]
        for part in others:
            made.append(self._in_its_light(part))
        return made if self.card is None else [*made, self.card]

    def _in_its_light(self, part: Surface) -> Surface:
        if part.kind == "eye":
            colour = self.colours.white
        elif part.kind == "wet" and part.albedo[0, 1] > 0.3 * part.albedo[0, 0]:  # teeth
            tooth = part.albedo[0, :3] / part.albedo[0, 0]
            colour = self.colours.white * 0.95 * (1 if self.colours.colourless else tooth)
        elif part.kind == "wet":
            colour = self.colours.toned(part.albedo[0, :3] * 0.8)
        else:
            return part
        albedo = part.albedo.copy()
        albedo[:, :3] = colour
        return replace(part, albedo=albedo)
