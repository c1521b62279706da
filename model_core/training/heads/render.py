"""Draw triangles with light on them: an OpenGL context without a window, for heads and what they wear.

Runs on Mesa's software driver as on a GPU. Colours are linear until the last step, which maps them to sRGB.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ...errors import DependencyError
from . import shaders
from .scene import KINDS, Camera, Lighting, Optics, SkinMap, Surface, vertex_normals

_BEHIND_LIDS = 0.3  # cm: shapes move lids along straight lines, which cut through the round eyeball
_EGL: dict[str, Any] = {"backend": "egl"}


class Renderer:
    """Holds the context; close it, or use it in ``with``.

    Raises:
        DependencyError: moderngl or EGL is missing.
    """

    def __init__(self) -> None:
        os.environ.setdefault("EGL_PLATFORM", "surfaceless")
        try:
            import moderngl
        except ImportError as error:
            raise DependencyError(f"moderngl cannot be imported ({error}); pip install moderngl") from error
        try:
            self._gl: Any = moderngl.create_context(standalone=True, **_EGL)
        except (moderngl.Error, RuntimeError, OSError, ValueError) as error:
            raise DependencyError(
                f"no picture can be drawn: EGL gives no context ({error}); "
                "on Debian, apt install libegl1 libgl1-mesa-dri"
            ) from error
        self._program: Any = self._gl.program(vertex_shader=shaders.VERTEX, fragment_shader=shaders.FRAGMENT)
        self._depth: Any = self._gl.program(vertex_shader=shaders.DEPTH_VERTEX, fragment_shader=shaders.DEPTH_FRAGMENT)
        self._skin: tuple[np.ndarray, Any] | None = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the context."""
        self._gl.release()

    def draw(
        self,
        surfaces: Sequence[Surface],
        camera: Camera,
        *,
        lighting: Lighting,
        skin: SkinMap,
        optics: Optics | None = None,
        background: np.ndarray | tuple[float, float, float] = (0.3, 0.3, 0.3),
        supersampling: int = 2,
    ) -> np.ndarray:
        """(H, W, 3) uint8 sRGB.

        Args:
            background: linear colour, or (H, W, 3) of them.
            supersampling: pixels drawn for each one of the result, along each axis.
        """
        return self.draw_and_cut(
            surfaces,
            camera,
            lighting=lighting,
            skin=skin,
            optics=optics,
            background=background,
            supersampling=supersampling,
        )[0]

    def draw_and_cut(
        self,
        surfaces: Sequence[Surface],
        camera: Camera,
        *,
        lighting: Lighting,
        skin: SkinMap,
        optics: Optics | None = None,
        background: np.ndarray | tuple[float, float, float] = (0.3, 0.3, 0.3),
        supersampling: int = 2,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What ``draw`` makes, and what it has drawn of: (H, W) uint8, 255 where surfaces hide the background."""
        height, width = (side * supersampling for side in camera.size)
        colour = self._gl.texture((width, height), 4, dtype="f2")
        target = self._gl.framebuffer([colour], self._gl.depth_renderbuffer((width, height)))
        target.use()
        self._gl.enable(self._gl.DEPTH_TEST)
        target.clear(0.0, 0.0, 0.0, 0.0)
        self._set_uniforms(camera, lighting, skin, optics or Optics())
        for surface in surfaces:
            self._program["kind"].value = KINDS.index(surface.kind)
            self._program["behind"].value = _BEHIND_LIDS if surface.kind == "eye" else 0.0
            self._draw_one(surface)
        drawn = np.frombuffer(colour.read(), np.float16).reshape(height, width, 4)[::-1].astype(np.float32)
        for part in (target, colour):
            part.release()
        plain = np.broadcast_to(np.asarray(background, np.float32), (*camera.size, 3))
        behind = cv2.resize(plain, (width, height), interpolation=cv2.INTER_LINEAR)
        cover = drawn[..., 3] > 0
        light = np.where(cover[..., None], drawn[..., :3], behind)
        # pixels of the result average what the eye sees, not light: bright glints else fray
        seen = tone_mapped(light, lighting.exposure).astype(np.float32)
        small = cv2.resize(seen, camera.size[::-1], interpolation=cv2.INTER_AREA)
        cut = cv2.resize(cover.astype(np.float32), camera.size[::-1], interpolation=cv2.INTER_AREA)
        picture, mask = (np.asarray((part * 255).round().clip(0, 255), np.uint8) for part in (small, cut))
        return picture, mask

    def _set_uniforms(self, camera: Camera, lighting: Lighting, skin: SkinMap, optics: Optics) -> None:
        lamps = lighting.lamps / np.linalg.norm(lighting.lamps, axis=1, keepdims=True)
        values = {
            "projection": camera.matrix().T,
            "lamps": lamps,
            "colours": lighting.colours,
        }
        for name, value in values.items():
            self._program[name].write(np.ascontiguousarray(value, np.float32).tobytes())
        self._program["eye"].value = tuple(camera.place.tolist())
        self._program["sky"].value, self._program["ground"].value = lighting.sky, lighting.ground
        self._program["iris"].value = optics.iris
        self._program["iris_size"].value = (optics.iris_radius, optics.pupil)
        self._program["shine"].value, self._program["grain"].value = optics.shine, optics.grain
        self._program["skin_frame"].value = (*skin.corner, 1 / skin.extent[0], 1 / skin.extent[1])
        if self._skin is None or self._skin[0] is not skin.pixels:
            if self._skin is not None:
                self._skin[1].release()
            texture = self._gl.texture(
                skin.pixels.shape[1::-1], 4, skin.pixels.astype(np.float16).tobytes(), dtype="f2"
            )
            texture.build_mipmaps()
            texture.repeat_x = texture.repeat_y = False
            self._skin = (skin.pixels, texture)
        self._skin[1].use(0)
        self._program["skin"].value = 0

    def _draw_one(self, surface: Surface) -> None:
        count = len(surface.positions)
        normals = (
            surface.normals if surface.normals is not None else vertex_normals(surface.positions, surface.triangles)
        )
        along = surface.along if surface.along is not None else np.zeros((count, 3))
        light = surface.light if surface.light is not None else np.ones((count, 4))
        parts = (surface.positions, normals, surface.rest, surface.albedo, light, along)
        names = ("position", "normal", "rest", "albedo", "light", "along")
        data = np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)
        vertices = self._gl.buffer(data.tobytes())
        numbers = self._gl.buffer(np.ascontiguousarray(surface.triangles, np.int32).tobytes())
        array = self._gl.vertex_array(self._program, [(vertices, "3f 3f 3f 4f 4f 3f", *names)], numbers)
        array.render()
        for part in (array, vertices, numbers):
            part.release()

    def depth_along(
        self, positions: np.ndarray, triangles: np.ndarray, matrices: Sequence[np.ndarray], *, side: int = 512
    ) -> list[np.ndarray]:
        """Depth maps (side, side) in [-1, 1] of a mesh, one for each orthographic (4, 4) matrix; row 0 is lowest."""
        depth = self._gl.depth_texture((side, side))
        target = self._gl.framebuffer(depth_attachment=depth)
        vertices = self._gl.buffer(np.ascontiguousarray(positions, np.float32).tobytes())
        numbers = self._gl.buffer(np.ascontiguousarray(triangles, np.int32).tobytes())
        array = self._gl.vertex_array(self._depth, [(vertices, "3f", "position")], numbers)
        target.use()
        self._gl.enable(self._gl.DEPTH_TEST)
        made = []
        for matrix in matrices:
            target.clear(depth=1.0)
            self._depth["projection"].write(np.ascontiguousarray(matrix.T, np.float32).tobytes())
            array.render()
            made.append(np.frombuffer(depth.read(), np.float32).reshape(side, side) * 2 - 1)
        for part in (array, vertices, numbers, target, depth):
            part.release()
        return made


def tone_mapped(colours: np.ndarray, exposure: float) -> np.ndarray:
    """Linear light as sRGB in [0, 1], with a soft shoulder instead of clipping."""
    light = np.maximum(colours * exposure, 0)
    light = np.where(light < 0.6, light, 0.6 + 0.4 * (1 - np.exp(-(light - 0.6) / 0.4)))
    return np.where(light < 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)


def radiance(picture: np.ndarray) -> np.ndarray:
    """The linear light that ``tone_mapped`` shows as these sRGB values (..., 3) in [0, 1], at an exposure of 1."""
    seen = np.minimum(picture, 0.998)
    light = np.where(seen < 0.04045, seen / 12.92, ((np.maximum(seen, 0) + 0.055) / 1.055) ** 2.4)
    bright = 0.6 - 0.4 * np.log(np.maximum(1 - (light - 0.6) / 0.4, 1e-3))
    return np.asarray(np.where(light < 0.6, light, bright), np.float32)
