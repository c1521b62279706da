"""The facer backend, with stand-ins for the weights, in facer itself where it is installed and in a double always."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from model_core.errors import CheckpointError, DependencyError, FaceNotFoundError
from model_core.faces import backends, facer_backend
from model_core.faces.analyze import analyze_frames
from model_core.faces.analyzer import FaceDetection
from model_core.faces.facer_backend import FacerAnalyzer, find_weights, largest_logit
from model_core.motion.components import CORNERS, RINGS
from model_core.motion.parsing_map import label_map, parsing_map_signal
from model_core.training.avatars import Motion, landmarks, sample_identity
from model_core.types import PALETTE, Component, PersonPart
from model_core.weights.catalog import FACER_ALIGNER, FACER_PARSER, Download

SIZE = 256


def _stand_ins() -> ModuleType:
    """The file beside this one; tests are no package, so it is loaded by its path."""
    name = "vividportraits_facer_stand_ins"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("facer_stand_ins.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


stand_ins = _stand_ins()


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """(478, 3): an avatar with open mouth that looks aside, exact."""
    motion = Motion(yaw=0.15, roll=0.1, gaze_x=0.5, jaw=0.9)
    return landmarks(sample_identity(np.random.default_rng(3)), motion, size=SIZE)


@pytest.fixture(scope="module")
def labels(truth: np.ndarray) -> np.ndarray:
    """The avatar's components, with hair, neck, clothes and a hat."""
    made = label_map(truth, (SIZE, SIZE), (SIZE, SIZE))
    rows = np.arange(SIZE)[:, None] + np.zeros((1, SIZE), int)
    chin, top = truth[152, 1], truth[10, 1]
    free = made == Component.BACKGROUND
    columns = np.abs(np.arange(SIZE)[None] - truth[152, 0])
    made[free & (rows < top) & (rows > top - 25)] = PersonPart.HAIR
    made[free & (rows < top - 25)] = PersonPart.HAT
    made[free & (rows > chin) & (columns < 25)] = PersonPart.SKIN
    made[free & (rows > chin + 15)] = PersonPart.CLOTHES
    return made


@pytest.fixture(scope="module")
def picture(labels: np.ndarray) -> np.ndarray:
    made = stand_ins.paint(labels)
    made.setflags(write=False)  # an analyser must not write into its input
    return made


class MeshOf:
    """An analyser of meshes that gives the truth, moved into the crop that it is shown."""

    def __init__(self, truth: np.ndarray, offset: float = 0.0) -> None:
        self.truth, self.offset, self.shown = truth, offset, np.zeros(0)

    def detect(self, frame: np.ndarray) -> list[FaceDetection]:
        self.shown = frame
        points = self.truth + np.float32([self.offset, 0, 0])
        return [FaceDetection(np.zeros(4, np.float32), points, 1.0)]


@pytest.fixture(params=["double", "facer itself"])
def facer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which facer the analyser finds."""
    if request.param == "double":
        monkeypatch.setitem(sys.modules, "facer", stand_ins.double())
    elif importlib.util.find_spec("facer") is None:
        pytest.skip("FACER IS NOT INSTALLED: its own code goes untested; pip install pyfacer beside torchvision")
    else:
        import facer.face_alignment.farl as farl

        monkeypatch.setattr(farl, "FaRLVisualFeatures", stand_ins.PlainBackbone)
    return str(request.param)


def seen(truth: np.ndarray, score: float = 0.9) -> dict[str, torch.Tensor]:
    """What RetinaFace would say of the avatar."""
    low, high = truth[:, :2].min(0), truth[:, :2].max(0)
    eyes = [truth[RINGS[eye], :2].mean(0) for eye in (Component.RIGHT_EYE, Component.LEFT_EYE)]
    points = np.stack([*eyes, truth[4, :2], truth[61, :2], truth[291, :2]])
    return {
        "rects": torch.tensor(np.concatenate([low, high]))[None],
        "points": torch.tensor(points)[None],
        "scores": torch.tensor([score]),
    }


@pytest.fixture
def build(facer: str, truth: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes an analyser that knows the avatar's face; ``score`` is the detector's."""

    def make(*, score: float = 0.9, **settings: Any) -> FacerAnalyzer:
        detector = tmp_path / "detector.pth"
        torch.save(seen(truth, score) if facer == "double" else retinaface_weights(), detector)
        analyzer = FacerAnalyzer(
            detector_path=detector,
            parser_path=stand_ins.save_parser(tmp_path / "parser_jit.pt"),
            aligner_path=stand_ins.save_aligner(tmp_path / "aligner_jit.pt"),
            person_path=stand_ins.save_parser(tmp_path / "person_jit.pt", stand_ins.CELEBM),
            **settings,
        )
        if facer != "double":  # random weights find nothing: the double's detector in the real one's place
            torch.save(seen(truth, score), detector)
            known = stand_ins.double().face_detector("retinaface/mobilenet", "cpu", model_path=str(detector))
            monkeypatch.setattr(analyzer, "_detector", known)
        return analyzer

    yield make


def retinaface_weights() -> dict[str, torch.Tensor]:
    from facer.face_detection.retinaface import RetinaFace, cfg_mnet

    torch.manual_seed(0)
    return RetinaFace(cfg=cfg_mnet, phase="test").state_dict()


def shares(found: np.ndarray, wanted: np.ndarray, component: int) -> float:
    """Intersection over union of one component."""
    a, b = found == component, wanted == component
    return float((a & b).sum() / max((a | b).sum(), 1))


def test_every_component_is_found_where_it_is(build: Any, picture: np.ndarray, labels: np.ndarray, truth: Any) -> None:
    (face,) = build(mesh=MeshOf(truth)).detect(picture)
    assert face.label_map is not None and face.label_map.dtype == np.uint8 and face.label_map.shape == (SIZE, SIZE)
    known = {int(component) for component in Component} | {int(PersonPart.HAIR)}
    assert set(np.unique(face.label_map).tolist()) == known
    assert face.confidence == pytest.approx(0.9)
    for component in (*Component, PersonPart.HAIR):
        if component not in (Component.BACKGROUND, Component.RIGHT_IRIS, Component.LEFT_IRIS):
            assert shares(face.label_map, labels, component) > 0.6, component
    for iris in (Component.RIGHT_IRIS, Component.LEFT_IRIS):
        middle, wanted = (np.argwhere(m == iris).mean(0) for m in (face.label_map, labels))
        assert np.abs(middle - wanted).max() < 2.0, iris
        assert 0.5 < (face.label_map == iris).sum() / (labels == iris).sum() < 2.0, iris


def place_and_width(picture: torch.Tensor, component: Component) -> tuple[np.ndarray, float]:
    """Centre and spread in pixels of a component in a parsing map (3, H, W), whose edges blend to black."""
    colour = torch.tensor(PALETTE[component]) / 255
    alike = torch.nn.functional.cosine_similarity(picture, colour[:, None, None], dim=0)
    share = ((1 - (1 - alike) * 80).clamp(min=0) * picture.norm(dim=0)).numpy().astype(np.float64)
    assert share.any(), component
    grid = np.stack(np.mgrid[: share.shape[0], : share.shape[1]])
    centre = (grid * share).sum((1, 2)) / share.sum()
    return centre, float(np.sqrt(((grid - centre[:, None, None]) ** 2 * share).sum() / share.sum()))


def test_both_backends_give_the_same_palette_and_components(build: Any, picture: np.ndarray, truth: np.ndarray) -> None:
    (face,) = build(mesh=MeshOf(truth)).detect(picture)
    track = analyze_frames([picture], build(mesh=MeshOf(truth)), name="avatar")
    assert track.label_maps is not None and np.array_equal(track.label_maps[0], face.label_map)
    parsed = parsing_map_signal(track, size=(128, 128)).frames
    drawn = parsing_map_signal(replace(track, label_maps=None), size=(128, 128)).frames
    for component in PALETTE:
        (here, width), (there, other_width) = (place_and_width(maps[0], component) for maps in (parsed, drawn))
        assert np.abs(here - there).max() < 2, component  # within a pixel or two
        if component not in (Component.LEFT_IRIS, Component.RIGHT_IRIS):  # edges elsewhere blend to their colours
            assert 0.7 < width / other_width < 1.4, component  # as wide
    for picture_of in (parsed, drawn):  # nothing else is in either: hair, skin and contour are black
        assert (picture_of.amax(1) == 0).float().mean() > 0.6
    exact = parsing_map_signal(track, size=(SIZE, SIZE)).frames[0]
    colours = {tuple(colour) for colour in (exact * 255).round().int().flatten(1).T.unique(dim=0).tolist()}
    assert colours == {(0, 0, 0), *PALETTE.values()}


def test_the_second_parser_adds_the_person_around_the_face(build: Any, picture: np.ndarray, labels: np.ndarray) -> None:
    (face,) = build(person=True).detect(picture)
    assert face.label_map is not None
    for part in PersonPart:  # facer looks at the head and a little more: what is farther away is left out
        found = face.label_map == part
        assert found.sum() > 100, part
        assert (labels[found] == part).mean() > 0.8, part
    (plain,) = build().detect(picture)
    inside = np.isin(plain.label_map, [int(component) for component in Component if component != 0])
    assert np.array_equal(plain.label_map[inside], face.label_map[inside])


def test_landmarks_are_the_mesh_s_where_it_sees_the_same_face(build: Any, picture: np.ndarray, truth: Any) -> None:
    (face,) = build(mesh=MeshOf(truth)).detect(picture)
    # the avatar fills the frame: the crop around it begins at the frame's corner
    np.testing.assert_allclose(face.landmarks, truth, atol=1.0)
    (other,) = build(mesh=MeshOf(truth, offset=300.0)).detect(picture)
    assert np.abs(other.landmarks[:, 0] - truth[:, 0]).max() < SIZE  # WFLW's, not the mesh far away
    assert other.landmarks.shape == (478, 3) and np.isfinite(other.landmarks).all()


def test_a_small_face_s_mesh_and_maps_lie_in_the_frame_s_pixels(build: Any, truth: Any, picture: Any) -> None:
    wide = np.full((900, 1600, 3), stand_ins.GROUND, np.uint8)
    wide[500 : 500 + SIZE, 1200 : 1200 + SIZE] = picture
    at = np.float32([1200, 500, 0])
    mesh = MeshOf(truth)
    analyzer = build(mesh=mesh)
    moved = seen(truth + at)
    scale = 1024 / 1600  # facer sees at most 1024 pixels

    def detector(images: torch.Tensor) -> dict[str, torch.Tensor]:
        assert tuple(images.shape) == (1, 3, 576, 1024) and images.dtype == torch.uint8
        return {"rects": moved["rects"] * scale, "points": moved["points"] * scale, "scores": moved["scores"]}

    analyzer._detector = detector
    (face,) = analyzer.detect(wide)
    outside = np.ones(face.label_map.shape, bool)
    outside[490 : 510 + SIZE, 1190 : 1210 + SIZE] = False
    assert not face.label_map[outside].any()
    nose = np.argwhere(face.label_map == Component.NOSE).mean(0)
    np.testing.assert_allclose(nose, (truth[RINGS[Component.NOSE], :2].mean(0) + at[:2])[::-1], atol=6.0)
    assert mesh.shown.shape[0] < 600  # the mesh sees a crop
    np.testing.assert_array_less(np.abs(face.label_map.shape), (901, 1601))


def test_no_face_is_an_empty_list(build: Any, picture: np.ndarray) -> None:
    assert build(score=0.5).detect(picture) == []
    with pytest.raises(FaceNotFoundError, match=r"clip: no face found in any of its 2 frame"):
        analyze_frames([picture, picture], build(score=0.1), name="clip")


def test_retinaface_itself_finds_nothing_with_random_weights(facer: str, tmp_path: Path) -> None:
    if facer == "double":
        pytest.skip("the double has no RetinaFace")
    torch.save(retinaface_weights(), tmp_path / "detector.pth", _use_new_zipfile_serialization=False)
    benchmark = torch.backends.cudnn.benchmark
    analyzer = FacerAnalyzer(
        detector_path=tmp_path / "detector.pth",
        parser_path=stand_ins.save_parser(tmp_path / "parser_jit.pt"),
        aligner_path=stand_ins.save_aligner(tmp_path / "aligner_jit.pt"),
    )
    assert torch.backends.cudnn.benchmark == benchmark
    frame = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    before = frame.copy()
    assert analyzer.detect(frame) == []
    assert np.array_equal(frame, before)


@pytest.mark.parametrize("value", [0, 1])
def test_a_black_frame_has_no_face(build: Any, value: int) -> None:
    assert build().detect(np.full((SIZE, SIZE, 3), value, np.uint8)) == []


def test_a_face_in_a_black_part_of_the_frame_is_passed_over(build: Any, picture: np.ndarray) -> None:
    frame = np.zeros((SIZE, 3 * SIZE, 3), np.uint8)
    frame[:, 2 * SIZE :] = picture
    assert build().detect(frame) == []  # the detector names the face in the black left part


def test_the_input_is_never_changed(build: Any, picture: np.ndarray) -> None:
    frame = picture.copy()
    build().detect(frame)
    assert np.array_equal(frame, picture)


def test_the_largest_faces_come_first_and_no_more_than_asked(
    build: Any, truth: np.ndarray, picture: np.ndarray
) -> None:
    analyzer = build(max_faces=2)
    half = {name: value * 0.5 for name, value in seen(truth).items()}
    third = {name: value / 3 for name, value in seen(truth).items()}
    whole = seen(truth)
    faces = {name: torch.cat([third[name], whole[name], half[name]]) for name in whole}
    analyzer._detector = lambda images: faces
    sizes = [float(np.prod(face.box[2:] - face.box[:2])) for face in analyzer.detect(picture)]
    assert len(sizes) == 2
    assert [face.confidence for face in analyzer.detect(picture)] == pytest.approx([0.9, 0.45])


def test_enlarging_logits_one_by_one_is_enlarging_them_all() -> None:
    logits = torch.randn(1, 5, 7, 9, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.interpolate(logits, (20, 31), mode="bilinear", align_corners=False)[0].argmax(0)
    assert torch.equal(largest_logit(logits, (20, 31)), whole)
    assert torch.equal(largest_logit(logits, (7, 9)), logits[0].argmax(0))


# --- what is missing ---------------------------------------------------------------------------------------------


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "facer", None)
    with pytest.raises(DependencyError, match=r"pip install --no-deps pyfacer==0\.0\.5"):
        FacerAnalyzer()


def test_missing_weights_name_the_file_and_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(DependencyError) as caught:
        find_weights(FACER_PARSER, folders=[tmp_path / "models"])
    message = str(caught.value)
    for part in (
        "face_parsing.farl.lapa.main_ema_136500_jit191.pt",
        str(tmp_path / "models"),
        str(tmp_path / "hub" / "checkpoints"),
        "Download Portrait Model",
        "https://github.com/FacePerceiver/facer/releases/download/models-v1/",
    ):
        assert part in message
    with pytest.raises(DependencyError, match="elsewhere"):
        find_weights(FACER_PARSER, tmp_path / "elsewhere.pt")


def test_weights_are_found_in_the_folder_then_in_torch_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Download("small.pt", "https://example.org/small.pt", 4, None, "MIT")
    entry = Download("small.bin", entry.url, 7, "9b8a5a4a" * 8, "MIT")
    hub, folder = tmp_path / "hub" / "checkpoints", tmp_path / "models"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(facer_backend, "verify", lambda path, entry: None)
    for place in (hub, folder):
        place.mkdir(parents=True)
        (place / entry.name).write_bytes(b"weights")
        assert find_weights(entry, folders=[folder]) == place / entry.name


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / FACER_PARSER.name).write_bytes(b"an error page")
    with pytest.raises(CheckpointError, match="it has 13 bytes, not 646604126"):
        find_weights(FACER_PARSER, folders=[tmp_path])
    (tmp_path / FACER_ALIGNER.name).write_bytes(b"an error page")
    with pytest.raises(CheckpointError, match="cut off, or another kind of file"):
        find_weights(FACER_ALIGNER, folders=[tmp_path])


class Mischief:
    """What a pickle must not be able to do."""

    done = False

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return setattr, (Mischief, "done", True)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_holds_a_program_is_refused_and_not_run(facer: str, tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "detector.pth"
    torch.save(Mischief(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"detector\.pth: facer cannot read it"):
        FacerAnalyzer(detector_path=path, parser_path=path, aligner_path=path)
    assert not Mischief.done


def test_broken_weights_are_named(facer: str, tmp_path: Path, truth: np.ndarray) -> None:
    detector, parser = tmp_path / "detector.pth", tmp_path / "parser_jit.pt"
    torch.save(seen(truth) if facer == "double" else retinaface_weights(), detector)
    parser.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CheckpointError, match=r"parser_jit\.pt: facer cannot read it as farl/lapa/448"):
        FacerAnalyzer(detector_path=detector, parser_path=parser, aligner_path=parser)


def test_the_choice_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(backends, "FacerAnalyzer", lambda **settings: made.append(settings))

    def missing(**settings: Any) -> None:
        raise DependencyError("no mediapipe")

    monkeypatch.setattr(backends, "MediaPipeAnalyzer", missing)
    backends.load_analyzer("facer", folders=["here"], device="cpu")
    backends.load_analyzer("facer_person")
    assert made[0] == {"folders": ["here"], "device": "cpu", "person": False, "mesh": None}
    assert made[1]["person"] is True
    with pytest.raises(DependencyError, match="no mediapipe"):
        backends.load_analyzer("mediapipe")
    with pytest.raises(Exception, match="'dlib' is not known; choose mediapipe"):
        backends.load_analyzer("dlib")  # type: ignore[arg-type]


def test_corners_and_rings_agree_about_the_sides(truth: np.ndarray) -> None:
    right, left = (truth[list(CORNERS[eye]), 0].mean() for eye in (Component.RIGHT_EYE, Component.LEFT_EYE))
    assert right < left  # the person's right eye is at the picture's left, as facer's labels have it
