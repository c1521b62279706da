"""What users get wrong, through the graph: the node says which input and what to do; the server stays healthy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from comfyui_server import Server
from shipped import FRAMES, Workflow, portrait_size, saved_video

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def still_healthy(server: Server) -> Iterator[None]:
    yield
    assert server.process.poll() is None
    assert json.loads(server.get("/queue"))["queue_running"] == []


def no_face(workflow: Workflow) -> None:
    blank = workflow.add("EmptyImage", width=128, height=128, batch_size=3, color=8421504)
    workflow.replace(workflow.driving, blank)


def no_face_in_the_portrait(workflow: Workflow) -> None:
    blank = workflow.add("EmptyImage", width=128, height=128, batch_size=1, color=8421504)
    workflow.replace(workflow.reference, blank)


def empty_video(workflow: Workflow) -> None:
    workflow.replace(workflow.driving, workflow.add("BadPicture", image=workflow.driving, how="no frames"))


def nan_pixels(workflow: Workflow) -> None:
    workflow.replace(workflow.driving, workflow.add("BadPicture", image=workflow.driving, how="nan"))


def infinite_portrait(workflow: Workflow) -> None:
    workflow.replace(workflow.reference, workflow.add("BadPicture", image=workflow.reference, how="infinite"))


def too_small(workflow: Workflow) -> None:
    small = workflow.add(
        "ImageScale", image=workflow.reference, upscale_method="area", width=40, height=40, crop="disabled"
    )
    del workflow.prompt[workflow.id("EncodeReference")]["inputs"]["track"]
    workflow.set("EncodeReference", image=small, framing="full")


def empty_mask(workflow: Workflow) -> None:
    workflow.set("EncodeReference", mask=workflow.add("SolidMask", value=0.0, width=64, height=64))


def truncated_weights(workflow: Workflow) -> None:
    workflow.set("LoadPortraitModel", model="truncated.safetensors")


def foreign_weights(workflow: Workflow) -> None:
    workflow.set("LoadPortraitModel", model="foreign.safetensors")


def impossible_overlap(workflow: Workflow) -> None:
    workflow.set("CyclicOverlapWindows", length=4, overlap=4)


@pytest.mark.parametrize(
    ("spoil", "node", "message"),
    [
        (impossible_overlap, "CyclicOverlapWindows", r"overlap 4: .* smaller than the window"),
        (no_face, "AnalyzeFaces", r"images: .*no face.*|images: no face"),
        (no_face_in_the_portrait, "AnalyzeFaces", r"images: .*no face.*|images: no face"),
        (empty_video, "AnalyzeFaces", r"images: is empty"),
        (nan_pixels, "AnalyzeFaces", r"images: .*NaN"),
        (infinite_portrait, "AnalyzeFaces", r"images: .*infinite"),
        (too_small, "EncodeReference", r"image: 40 x 40 pixels.*64"),
        (empty_mask, "EncodeReference", r"mask: is empty"),
        (truncated_weights, "LoadPortraitModel", r"truncated\.safetensors"),
        (foreign_weights, "LoadPortraitModel", r"foreign\.safetensors"),
    ],
)
def test_a_node_names_its_bad_input(server, spoil: Callable[[Workflow], None], node: str, message: str):
    workflow = Workflow()
    spoil(workflow)
    run = server.run(workflow.prompt)
    assert run.status == "execution_error"
    (told,) = run.of("execution_error")
    assert told["node_type"] == f"VividPortraits{node}"
    assert re.search(message, run.error), run.error


def missing_model(workflow: Workflow) -> None:
    workflow.set("LoadPortraitModel", model="nowhere.safetensors")


def test_a_model_that_is_not_there_is_refused_before_anything_runs(server):
    workflow = Workflow()
    missing_model(workflow)
    for preview in workflow.ids("PreviewImage"):  # ComfyUI would still run what does not need the bad node
        del workflow.prompt[preview]
    status, answer = server.post("/prompt", {"prompt": workflow.prompt})
    assert status == 400
    (error,) = answer["node_errors"][workflow.id("LoadPortraitModel")]["errors"]
    assert re.search(r"model 'nowhere\.safetensors' is not there; found: vivid-avatars", error["details"])


def one_frame(workflow: Workflow) -> int:
    workflow.set("ExampleMedia", frames=1)
    return 1


def odd_sizes(workflow: Workflow) -> int:
    for link, width, height in ((workflow.reference, 203, 301), (workflow.driving, 251, 199)):
        scaled = workflow.add(
            "ImageScale", image=link, upscale_method="bilinear", width=width, height=height, crop="center"
        )
        workflow.replace(link, scaled)
    return FRAMES


def alpha_channel(workflow: Workflow) -> int:
    """In the portrait, opaque, and in the driving frames, half transparent."""
    opaque = workflow.add("SolidMask", value=0.0, width=64, height=64)  # JoinImageWithAlpha inverts it
    half = workflow.add("ImageToMask", image=workflow.driving, channel="red")
    for link, mask in ((workflow.reference, opaque), (workflow.driving, half)):
        joined = workflow.add("JoinImageWithAlpha", image=link, alpha=mask)
        inner = workflow.prompt[half[0]]["inputs"]["image"]
        workflow.replace(link, joined)
        workflow.prompt[half[0]]["inputs"]["image"] = inner
    return FRAMES


def mask_of_another_size(workflow: Workflow) -> int:
    workflow.set("EncodeReference", mask=workflow.add("SolidMask", value=1.0, width=77, height=33))
    return FRAMES


@pytest.mark.parametrize("make", [one_frame, odd_sizes, alpha_channel, mask_of_another_size])
def test_what_looks_odd_works(server, make: Callable[[Workflow], int]):
    workflow = Workflow()
    frames = make(workflow)
    video = saved_video(server, server.run(workflow.prompt), workflow)
    # H.264 knows even sizes only
    assert video.shape == (frames, *((302, 204) if make is odd_sizes else portrait_size()), 3)


def test_a_run_after_all_these_errors_succeeds(server):
    workflow = Workflow(seed=9)
    assert len(saved_video(server, server.run(workflow.prompt), workflow)) == FRAMES
