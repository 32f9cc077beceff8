import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.targets.annotations import Frame, FrameSequence, RowCounts, beyond_classes, frame_pairs


def frame(index, boxes=((1.0, 2.0, 3.0, 4.0),), ids=(1,), classes=(1,)):
    return Frame("street", index, 10, 20, np.array(boxes), np.array(ids), np.array(classes))


def test_previous_is_the_frame_numbered_one_less():
    one, two, four = frame(1), frame(2), frame(4)
    sequence = FrameSequence("street", (one, two, four))
    assert [sequence.previous(position) for position in range(3)] == [None, one, None]


def test_pairs_never_reach_across_sequences():
    first, second = FrameSequence("a", (frame(1), frame(2))), FrameSequence("b", (frame(3),))
    assert [before is not None for _, before in frame_pairs([first, second])] == [False, True, False]


def test_annotations_of_classes_that_the_recipe_lacks_are_told():
    recipe = load_recipe("mot17")
    boxes = ((1.0, 2.0, 3.0, 4.0),) * 4
    sequence = FrameSequence("a", (frame(1, boxes, (1, 2, 3, 4), (1, 2, 3, -5)), frame(2, boxes[:2], (1, 2), (3, 0))))
    assert beyond_classes([sequence], recipe) == (
        "annotations: 3 are of classes past the recipe's 1 (class 2 1 times, class 3 2 times) and are left out, as "
        "upstream does"
    )
    assert beyond_classes([FrameSequence("a", (frame(1),))], recipe) == ""


def test_total_sums_every_count():
    sequence = FrameSequence("a", (), (RowCounts(39, 22, 16), RowCounts(1, 1, 0)))
    assert sequence.total == RowCounts(40, 23, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": (1, 2)}, r"frame 7 of 'street': expected boxes \[N, 4\]"),
        ({"boxes": ((1.0, 2.0, 3.0),)}, r"expected boxes \[N, 4\]"),
        ({"boxes": ((1.0, 2.0, np.nan, 4.0),)}, "box 0: expected finite"),
        ({"boxes": ((1.0, 2.0, np.inf, 4.0),)}, "box 0: expected finite"),
        ({"boxes": ((3.0, 2.0, 1.0, 4.0),)}, "left <= right"),
        ({"boxes": ((1.0, 4.0, 3.0, 2.0),)}, "top <= bottom"),
    ],
    ids=["lengths", "columns", "nan", "inf", "right-before-left", "bottom-above-top"],
)
def test_a_frame_refuses(changes, words):
    with pytest.raises(InputError, match=words):
        frame(7, **changes)
