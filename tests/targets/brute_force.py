"""CenterTrack's encoding once more, an object and a pixel at a time, in exact fractions: shares no code with lossrt."""

import math
from fractions import Fraction

import numpy as np


def encode(frame, previous, recipe):
    """Return every target array, for all heads, by wire name."""
    rows, columns = recipe.input[0] // recipe.down_ratio, recipe.input[1] // recipe.down_ratio
    slots, classes = recipe.max_objs, recipe.classes
    out = {
        "hm": np.zeros((classes, rows, columns), np.float32),
        "ind": np.zeros(slots, np.int64),
        "cat": np.zeros(slots, np.int64),
        "mask": np.zeros(slots, np.float32),
    }
    for head, channels in (("reg", 2), ("wh", 2), ("tracking", 2), ("ltrb_amodal", 4)):
        out[head] = np.zeros((slots, channels), np.float32)
        out[f"{head}_mask"] = np.zeros((slots, channels), np.float32)
    for k in range(min(len(frame.boxes), slots)):
        class_id = int(frame.class_ids[k])
        if abs(class_id) > classes:
            continue
        whole = on_map(frame.boxes[k], frame, rows, columns)
        cut = inside(whole, rows, columns)
        if class_id <= 0:
            for plane in range(classes):
                if class_id in (0, -(plane + 1)):
                    mark(out["hm"][plane], cut)
            continue
        width, height = cut[2] - cut[0], cut[3] - cut[1]
        if width <= 0 or height <= 0:
            continue
        centre = (cut[0] + cut[2]) / np.float32(2), (cut[1] + cut[3]) / np.float32(2)
        column, row = int(centre[0]), int(centre[1])
        raise_peak(out["hm"][class_id - 1], column, row, radius(math.ceil(height), math.ceil(width)))
        out["ind"][k], out["cat"][k], out["mask"][k] = row * columns + column, class_id - 1, 1
        values = {
            "reg": (float(centre[0]) - column, float(centre[1]) - row),
            "wh": (width, height),
            "ltrb_amodal": tuple(
                float(side) - origin for side, origin in zip(whole, (column, row, column, row), strict=True)
            ),
        }
        before = earlier_centre(int(frame.track_ids[k]), frame, previous, recipe)
        if before is not None:
            values["tracking"] = before[0] - column, before[1] - row
        for head, value in values.items():
            out[head][k] = value
            out[f"{head}_mask"][k] = 1
    return out


def on_map(box, frame, rows, columns):
    """Each side measured from the image's centre, scaled, and measured again from the map's centre."""
    ratio = Fraction(columns, max(frame.height, frame.width))
    sides = []
    for axis, side in enumerate(box):
        image, target = ((frame.width, columns), (frame.height, rows))[axis % 2]
        exact = (Fraction(float(np.float32(side))) - Fraction(image, 2)) * ratio + Fraction(target, 2)
        sides.append(np.float32(float(exact)))
    return sides


def inside(sides, rows, columns):
    """The box cut to the last row and column."""
    return [np.float32(min(max(side, 0), (columns - 1, rows - 1)[axis % 2])) for axis, side in enumerate(sides)]


def radius(height, width):
    """The smallest of the three roots, each halved."""
    share = 0.7
    roots = [
        halved_root(1, height + width, width * height * (1 - share) / (1 + share)),
        halved_root(4, 2 * (height + width), (1 - share) * width * height),
        halved_root(4 * share, -2 * share * (height + width), (share - 1) * width * height),
    ]
    return max(0, int(min(roots)))


def halved_root(a, b, c):
    return (b + math.sqrt(b**2 - 4 * a * c)) / 2


def raise_peak(plane, column, row, reach):
    deviation = (2 * reach + 1) / 6
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            if abs(y - row) <= reach and abs(x - column) <= reach:
                value = math.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * deviation**2))
                plane[y, x] = max(plane[y, x], value)


def mark(plane, cut):
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            if int(cut[0]) <= x <= int(cut[2]) and int(cut[1]) <= y <= int(cut[3]):
                plane[y, x] = 1


def earlier_centre(track_id, frame, previous, recipe):
    """Where the track was, in pixels of the output map, from the first box with its id that the input shows."""
    if previous is None or track_id < 0:
        return None
    rows, columns = recipe.input
    for box, other, class_id in zip(previous.boxes, previous.track_ids, previous.class_ids, strict=True):
        cut = inside(on_map(box, frame, rows, columns), rows, columns)
        if other == track_id and abs(class_id) <= recipe.classes and cut[2] > cut[0] and cut[3] > cut[1]:
            ratio = np.float32(recipe.down_ratio)
            return (
                float((cut[0] + cut[2]) / np.float32(2) / ratio),
                float((cut[1] + cut[3]) / np.float32(2) / ratio),
            )
    return None
