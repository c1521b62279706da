from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model_core.errors import CheckpointError, DependencyError, FaceNotFoundError, InputError
from model_core.faces import mediapipe_backend
from model_core.faces.analyze import analyze_frames
from model_core.faces.blendshapes import BLENDSHAPES
from model_core.faces.mediapipe_backend import MediaPipeAnalyzer, _starts, _tiles, find_model
from model_core.motion.components import RINGS
from model_core.motion.head import rotation_matrix, rotation_vector
from model_core.types import Component
from model_core.weights.catalog import FACE_LANDMARKER, verify

Read = Callable[..., np.ndarray]
needs_model = pytest.mark.landmarker


@pytest.fixture(scope="module")
def analyzer() -> MediaPipeAnalyzer:
    return MediaPipeAnalyzer()


@needs_model
def test_the_installed_file_is_found_and_is_the_published_one() -> None:
    verify(find_model(), FACE_LANDMARKER)


def test_the_file_is_found_where_install_py_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(mediapipe_backend, "verify", lambda path, entry: None)
    place = tmp_path / "checkpoints" / FACE_LANDMARKER.name
    place.parent.mkdir()
    place.touch()
    assert find_model(folders=[tmp_path / "empty"]) == place


def test_a_missing_file_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(DependencyError, match=r"Run install\.py, or put .*models folder") as caught:
        find_model(folders=[tmp_path])
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(DependencyError, match="elsewhere"):
        find_model(tmp_path / "elsewhere.task")


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face_landmarker.task").write_bytes(b"not a network")
    with pytest.raises(CheckpointError, match="13 bytes"):
        find_model(folders=[tmp_path])


@needs_model
def test_the_users_folder_comes_before_the_package(tmp_path: Path) -> None:
    copy = tmp_path / "face_landmarker.task"
    copy.write_bytes(find_model().read_bytes())
    assert find_model(folders=[tmp_path / "empty", tmp_path]) == copy


@needs_model
@pytest.mark.parametrize("longest", [640, 128])
@pytest.mark.parametrize(
    "name",
    ["photo_man.jpg", "mona_lisa.jpg", "pearl_earring.jpg", "painting_dark.jpg", "painting_veil.jpg", "cartoon_3d.jpg"],
)
def test_portraits_have_one_face(analyzer: MediaPipeAnalyzer, real_image: Read, name: str, longest: int) -> None:
    picture = real_image(name, longest)
    (face,) = analyzer.detect(picture)
    assert face.landmarks.shape == (478, 3) and face.landmarks.dtype == np.float32
    assert 0 < face.confidence <= 1
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    np.testing.assert_allclose(face.box, [*low, *high])
    # upright: brows over eyes over nose over mouth, the person's left eye on the right
    order = (Component.LEFT_BROW, Component.LEFT_EYE, Component.NOSE, Component.INNER_MOUTH)
    heights = [face.landmarks[RINGS[component], 1].mean() for component in order]
    assert heights == sorted(heights)
    assert face.landmarks[RINGS[Component.LEFT_EYE], 0].mean() > face.landmarks[RINGS[Component.RIGHT_EYE], 0].mean()


@needs_model
def test_the_same_frame_gives_the_same_face(analyzer: MediaPipeAnalyzer, real_image: Read) -> None:
    picture = real_image("photo_man.jpg")
    first = analyzer.detect(picture)[0]
    analyzer.detect(real_image("mona_lisa.jpg"))
    assert np.array_equal(analyzer.detect(picture)[0].landmarks, first.landmarks)


@needs_model
def test_blendshapes_follow_a_face_into_tiles_and_rotations(analyzer: MediaPipeAnalyzer, real_image: Read) -> None:
    picture = real_image("photo_man.jpg", 400)
    whole = analyzer.detect(picture)[0].blendshapes
    assert whole is not None and whole.shape == (len(BLENDSHAPES),) == (51,) and whole.dtype == np.float32
    assert 0 <= whole.min() and 0.2 < whole.max() <= 1
    turned = MediaPipeAnalyzer(rotations=True, tiles=False).detect(np.ascontiguousarray(np.rot90(picture, 2)))
    height, width = picture.shape[:2]
    far = np.zeros((7 * height, 7 * width, 3), np.uint8)
    far[:height, :width] = picture
    assert MediaPipeAnalyzer(tiles=False).detect(far) == []
    (small,) = analyzer.detect(far)
    for shapes in (turned[0].blendshapes, small.blendshapes):
        assert shapes is not None
        np.testing.assert_allclose(shapes, whole, atol=0.15)


@needs_model
def test_the_pose_is_of_the_picture_s_axes(analyzer: MediaPipeAnalyzer, real_image: Read) -> None:
    """Tilted in the picture, the head's pose tilts by as much about the axis away from the viewer."""
    picture = real_image("photo_man.jpg", 400)
    height, width = picture.shape[:2]
    tilt = cv2.getRotationMatrix2D((width / 2, height / 2), -15, 1.0)  # clockwise
    tilted = cv2.warpAffine(picture, tilt, (width, height), borderMode=cv2.BORDER_REPLICATE)
    before, after = analyzer.detect(picture)[0].pose, analyzer.detect(tilted)[0].pose
    assert before is not None and after is not None and before.shape == (3,) and before.dtype == np.float32
    turn = rotation_vector(rotation_matrix(after.astype(float)) @ rotation_matrix(before.astype(float)).T)
    np.testing.assert_allclose(np.degrees(turn), [0, 0, 15], atol=4)
    mirrored = analyzer.detect(np.ascontiguousarray(picture[:, ::-1]))[0].pose
    assert mirrored is not None
    np.testing.assert_allclose(mirrored, before * (1, -1, -1), atol=0.06)


@needs_model
def test_no_pose_is_told_of_a_part_or_a_turned_frame(real_image: Read) -> None:
    picture = np.ascontiguousarray(np.rot90(real_image("photo_man.jpg", 400), 2))
    (found,) = MediaPipeAnalyzer(rotations=True, tiles=False).detect(picture)
    assert found.blendshapes is not None and found.pose is None


@needs_model
def test_blendshapes_have_their_names_in_mediapipe_s_order(analyzer: MediaPipeAnalyzer, real_image: Read) -> None:
    import mediapipe

    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=real_image("photo_man.jpg"))
    given = [shape.category_name for shape in analyzer._landmarker.detect(image).face_blendshapes[0]]
    assert given == ["_neutral", *BLENDSHAPES]


@needs_model
def test_a_cat_is_no_face(analyzer: MediaPipeAnalyzer, real_image: Read) -> None:
    with pytest.raises(FaceNotFoundError, match=r"cat_no_face\.jpg: no face found"):
        analyze_frames([real_image("cat_no_face.jpg")], analyzer, name="cat_no_face.jpg")


@needs_model
def test_two_faces_are_told_apart(analyzer: MediaPipeAnalyzer, real_image: Read) -> None:
    man = real_image("photo_man.jpg", 400)
    canvas = np.zeros((400, 600, 3), np.uint8)
    canvas[: man.shape[0], : man.shape[1]] = man
    small = cv2.resize(man, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    canvas[: small.shape[0], 320 : 320 + small.shape[1]] = small
    faces = analyzer.detect(canvas)
    assert len(faces) == 2
    assert faces[0].box[2] < 310 < faces[1].box[0]  # the larger one first


@needs_model
def test_a_small_far_face_is_found_in_the_enlarged_tiles(real_frames: Callable[..., list[np.ndarray]]) -> None:
    frames = real_frames("no_face_far.mp4", 3, step=40)
    with pytest.raises(FaceNotFoundError, match="far"):
        analyze_frames(frames, MediaPipeAnalyzer(tiles=False), name="far")
    track = analyze_frames(frames, MediaPipeAnalyzer(), name="far")
    assert track.detected.all()
    sides = track.boxes[:, 2:] - track.boxes[:, :2]
    assert (sides < 0.2 * frames[0].shape[1]).all()
    assert np.abs(np.diff(track.boxes, axis=0)).max() < 60  # the same face, not one here and one there


@needs_model
def test_a_face_upside_down_is_found_on_request(real_image: Read, analyzer: MediaPipeAnalyzer) -> None:
    picture = real_image("photo_man.jpg", 400)
    upright = analyzer.detect(picture)[0].landmarks[:, :2]
    turned = np.ascontiguousarray(np.rot90(picture, 2))
    assert analyzer.detect(turned) == []
    (face,) = MediaPipeAnalyzer(rotations=True, tiles=False).detect(turned)
    expected = np.float32(picture.shape[1::-1]) - upright
    assert np.abs(face.landmarks[:, :2] - expected).max() < 1.0


@needs_model
def test_a_real_clip_is_followed(analyzer: MediaPipeAnalyzer, real_frames: Callable[..., list[np.ndarray]]) -> None:
    track = analyze_frames(real_frames("drive_talk.mp4", 6, step=4, longest=320), analyzer, name="talk")
    assert track.detected.all() and len(track) == 6


@needs_model
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_pictures_without_a_face_of_any_size(analyzer: MediaPipeAnalyzer, size: tuple[int, int]) -> None:
    assert analyzer.detect(np.zeros((*size, 3), np.uint8)) == []


@needs_model
def test_frames_of_another_type_are_named(analyzer: MediaPipeAnalyzer) -> None:
    with pytest.raises(InputError, match="uint8"):
        analyzer.detect(np.zeros((8, 8, 3), np.float32))
    with pytest.raises(InputError, match="NaN"):
        analyzer.detect(np.full((8, 8, 3), np.nan))


@pytest.mark.parametrize("size", [(1080, 720), (480, 640), (256, 3000)])
@pytest.mark.parametrize("per_side", [1, 2, 4])
def test_tiles_cover_the_frame_with_overlap(size: tuple[int, int], per_side: int) -> None:
    covered = np.zeros(size, int)
    for x, y, side in _tiles(size, per_side):
        assert 0 <= x and 0 <= y and x + side <= size[1] and y + side <= size[0]
        covered[y : y + side, x : x + side] += 1
    assert covered.min() >= 1
    starts = _starts(max(size), 64)
    assert all(0 < b - a <= 32 for a, b in itertools.pairwise(starts))


def test_small_frames_are_not_cut_up() -> None:
    assert list(_tiles((100, 3000), 2)) == []
