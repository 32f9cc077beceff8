"""A video validates on its end, still images on some of them; frames without objects train nothing alone."""

import pytest

from lossrt.device.finetune.partition import partition
from lossrt.errors import InputError
from lossrt.targets.annotations import FrameSequence
from tests.device.finetune.samples import frame


def _sequence(frames: int, *, name: str = "street", video: bool = True, **details) -> FrameSequence:
    return FrameSequence(name, tuple(frame(i, sequence=name, **details) for i in range(1, frames + 1)), video=video)


def _indices(some):
    return [(one.sequence, one.index, before and before.index) for one, before in some]


def test_the_end_of_each_video_validates(small_recipe) -> None:
    parts = partition([_sequence(5), _sequence(3, name="square")], small_recipe, fraction=0.4, seed=0)
    assert _indices(parts.train) == [
        ("street", 1, None),
        ("street", 2, 1),
        ("street", 3, 2),
        ("square", 1, None),
        ("square", 2, 1),
    ]
    assert _indices(parts.validation) == [("street", 4, 3), ("street", 5, 4), ("square", 3, 2)]


def test_still_images_are_drawn(small_recipe) -> None:
    stills = [_sequence(30, video=False)]
    parts = [partition(stills, small_recipe, fraction=0.2, seed=seed) for seed in (0, 0, 1)]
    chosen = [_indices(part.validation) for part in parts]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 6
    assert {before for _, _, before in chosen[0]} == {None}


@pytest.mark.parametrize(
    ("frames", "fraction", "held"),
    [(4, 0.01, 1), (4, 0.99, 3), (1, 0.5, 0), (4, 0, 0)],
    ids=["few", "most", "one", "none"],
)
def test_something_is_left_to_train_on(small_recipe, frames, fraction, held) -> None:
    parts = partition([_sequence(frames)], small_recipe, fraction=fraction, seed=0)
    assert (len(parts.train), len(parts.validation)) == (frames - held, held)


@pytest.mark.parametrize(
    "details", [{"objects": 0}, {"class_id": -1}, {"class_id": 2}], ids=["empty", "ignored", "other"]
)
def test_frames_without_an_object_alone_are_refused(small_recipe, details) -> None:
    with pytest.raises(InputError, match=r"annotations \(street\): expected frames with objects of classes 1..1"):
        partition([_sequence(4, **details)], small_recipe, fraction=0.2, seed=0)
