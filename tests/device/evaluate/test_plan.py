from dataclasses import replace

import numpy as np
import pytest

from lossrt.device.evaluate.plan import annotations_digest, parse_range, planned_frames
from lossrt.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"), [("7", (7, 7)), ("1-300", (1, 300)), (" 5-5 ", (5, 5)), ("12-", (12, 10**9))]
)
def test_ranges(text, expected):
    assert parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "-3", "3-1", "a", "1,2", "1-2-3", "9" * 20])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(InputError, match="--only"):
        parse_range(text)


def test_frames_keep_the_one_before_them(make_sequence):
    planned = planned_frames([make_sequence([1, 2, 5]), make_sequence([2, 3], name="b")], only=(2, 5))
    assert [frame.key for frame in planned] == [("street", 2), ("street", 5), ("b", 2), ("b", 3)]
    assert [None if f.previous is None else f.previous.index for f in planned] == [1, None, None, 2]


def test_no_frame_is_an_error(make_sequence):
    with pytest.raises(InputError, match="got none; annotated: 'street' 1 to 2"):
        planned_frames([make_sequence([1, 2])], only=(9, 9))


def test_the_wrong_order_is_an_error(make_sequence):
    with pytest.raises(InputError, match="frame 2 of 'street': expected frames in growing order"):
        planned_frames([make_sequence([1, 3, 2])])


def test_annotations_are_told_apart(make_sequence):
    def digest(change=lambda frame: frame):
        sequence = make_sequence([1, 2])
        return annotations_digest(planned_frames([replace(sequence, frames=tuple(map(change, sequence.frames)))]))

    digests = [
        digest(),
        digest(lambda frame: replace(frame, boxes=frame.boxes + 1)),
        digest(lambda frame: replace(frame, class_ids=-frame.class_ids)),
        digest(lambda frame: replace(frame, crowds=np.zeros(1, np.bool_))),
        digest(lambda frame: replace(frame, sequence="other")),
        annotations_digest(planned_frames([make_sequence([1, 2])], only=(2, 2))),
        annotations_digest(planned_frames([replace(make_sequence([1, 2]), video=False)])),
    ]
    assert len(set(digests)) == len(digests)
    assert digest() == digests[0]
