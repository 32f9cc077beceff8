"""Every family's encoding once more, an object and a pixel at a time, in exact fractions: shares no code with lossrt."""

import math
from fractions import Fraction

import numpy as np

from tests.targets import brute_force_details as details

CHANNELS = {"ltrb": 4, "ltrb_amodal": 4, "hps": 34, "dep": 1, "dim": 3, "velocity": 3, "nuscenes_att": 8}
OWN_MASK = ("centertrack", "centerpoint")  # families whose regression heads have masks of their own


def encode(frame, previous, recipe):
    """Return every target array of the recipe's heads, by wire name."""
    out = blank(recipe)
    for k in range(min(len(frame.boxes), recipe.max_objs)):
        class_id = int(frame.class_ids[k])
        if abs(class_id) > recipe.classes:
            continue
        crowd = frame.crowds is not None and bool(frame.crowds[k])
        if recipe.family == "centertrack" and (class_id <= 0 or crowd):
            ignore(out, class_id, cut_box(frame, k, recipe), recipe)
        elif class_id >= 1 and (not crowd or recipe.family == "centernet"):
            add_object(out, frame, previous, recipe, k)
    return out


def blank(recipe):
    rows, columns = output_size(recipe)
    slots, heads = recipe.max_objs, recipe.active_heads
    out = {
        "hm": np.zeros((recipe.classes, rows, columns), np.float32),
        "ind": np.zeros(slots, np.int64),
        "cat": np.zeros(slots, np.int64),
        "mask": np.zeros(slots, np.float32),
    }
    for head in heads:
        if head in ("reg", "wh", "tracking", "amodel_offset", *CHANNELS, "anno_box"):
            channels = recipe.heads[head]
            out[head] = np.zeros((slots, channels), np.float32)
            if recipe.family in OWN_MASK and head != "anno_box":
                out[f"{head}_mask"] = np.zeros((slots, channels), np.float32)
    if "hm_hp" in heads:
        out["hm_hp"] = np.zeros((17, rows, columns), np.float32)
        out["hp_ind"] = np.zeros(17 * slots, np.int64)
        out["joint"] = np.zeros(17 * slots, np.int64)
        out["hm_hp_mask"] = np.zeros(17 * slots, np.float32)
    if "hp_offset" in heads:
        out["hp_offset"] = np.zeros((17 * slots, 2), np.float32)
        out["hp_offset_mask"] = np.zeros((17 * slots, 2), np.float32)
    if "rot" in heads:
        out["rotbin"] = np.zeros((slots, 2), np.int64)
        out["rotres"] = np.zeros((slots, 2), np.float32)
        out["rot_mask"] = np.zeros(slots, np.float32)
    if "id" in heads:
        out["ids"] = np.zeros(slots, np.int64)
    return out


def add_object(out, frame, previous, recipe, k):
    rows, columns = output_size(recipe)
    if recipe.family == "centerpoint":
        placed = details.on_ground(frame, k, recipe, rows, columns)
    else:
        placed = in_image(frame, k, recipe)
    if placed is None:
        return
    centre, box, _, reach = placed
    column, row = int(centre[0]), int(centre[1])
    plane = int(frame.class_ids[k]) - 1
    raise_peak(out["hm"][plane], column, row, reach)
    out["ind"][k], out["cat"][k], out["mask"][k] = row * columns + column, plane, 1
    values = box_values(frame, previous, recipe, k, placed)
    for head, value in values.items():
        if head in out:
            out[head][k] = value
            if f"{head}_mask" in out:
                out[f"{head}_mask"][k] = 1
    details.add_attribute(out, frame, k)
    details.add_rotation(out, frame, k)
    if "anno_box" in out:
        details.add_ground_box(out, frame, k, centre)
    if "ids" in out:
        out["ids"][k] = -1 if frame.identities is None else frame.identities[k]
    if "hps" in out or "hm_hp" in out:
        cut = inside(box, rows, columns)
        points = place_joints(frame, k, recipe, rows, columns)
        details.add_joints(out, points, k, (column, row), cut, reach, raise_peak, mark)


def box_values(frame, previous, recipe, k, placed):
    """What the annotation knows, by head."""
    rows, columns = output_size(recipe)
    centre, box, whole, _ = placed
    column, row = int(centre[0]), int(centre[1])
    values = {
        "reg": (float(centre[0]) - column, float(centre[1]) - row),
        "wh": (box[2] - box[0], box[3] - box[1]),
        "ltrb": from_cell(box, column, row),
        "ltrb_amodal": from_cell(whole, column, row),
    }
    if recipe.heads.get("wh") == 4:
        values["wh"] = (centre[0] - box[0], centre[1] - box[1], box[2] - centre[0], box[3] - centre[1])
    before = earlier_centre(int(frame.track_ids[k]), frame, previous, recipe)
    if before is not None and recipe.family != "centerpoint":
        values["tracking"] = before[0] - column, before[1] - row
    values |= details.spatial_values(
        frame, k, column, row, lambda point: exact_point(point, frame, recipe, rows, columns)
    )
    return values


def in_image(frame, k, recipe):
    rows, columns = output_size(recipe)
    whole = on_map(frame.boxes[k], frame, recipe, rows, columns)
    box = whole if recipe.family == "fairmot" else inside(whole, rows, columns)
    width, height = box[2] - box[0], box[3] - box[1]
    if width <= 0 or height <= 0:
        return None
    centre = [(box[0] + box[2]) / np.float32(2), (box[1] + box[3]) / np.float32(2)]
    if recipe.family == "fairmot":
        centre = [np.float32(min(max(at, 0), last)) for at, last in zip(centre, (columns - 1, rows - 1), strict=True)]
    return centre, box, whole, radius(math.ceil(height), math.ceil(width))


def cut_box(frame, k, recipe):
    rows, columns = output_size(recipe)
    return inside(on_map(frame.boxes[k], frame, recipe, rows, columns), rows, columns)


def ignore(out, class_id, cut, recipe):
    for plane in range(recipe.classes):
        if class_id == 0 or abs(class_id) == plane + 1:
            mark(out["hm"][plane], cut)
    if "hm_hp" in out and class_id <= 1:
        for plane in out["hm_hp"]:
            mark(plane, cut)


def output_size(recipe):
    return recipe.input[0] // recipe.down_ratio, recipe.input[1] // recipe.down_ratio


def from_cell(sides, column, row):
    return [float(side) - origin for side, origin in zip(sides, (column, row, column, row), strict=True)]


def on_map(box, frame, recipe, rows, columns):
    corners = exact_point(box[:2], frame, recipe, rows, columns) + exact_point(box[2:], frame, recipe, rows, columns)
    return [np.float32(float(side)) for side in corners]


def exact_point(point, frame, recipe, rows, columns):
    """A point of the image in fractions of map pixels: measured from the image's centre, scaled, and measured again."""
    sides, targets = (frame.width, frame.height), (columns, rows)
    known = [Fraction(float(np.float32(at))) for at in point]
    if recipe.family == "fairmot":
        return [
            at * letterbox(frame, recipe, rows)[0] + letterbox(frame, recipe, rows)[1][i] for i, at in enumerate(known)
        ]
    ratio = Fraction(columns, max(sides))
    return [
        (at - Fraction(side, 2)) * ratio + Fraction(target, 2)
        for at, side, target in zip(known, sides, targets, strict=True)
    ]


def letterbox(frame, recipe, rows):
    """The whole image in whole pixels of the network's input, then the input's pixels to the map's."""
    shrink = Fraction(rows, recipe.input[0])
    ratio = min(recipe.input[0] / frame.height, recipe.input[1] / frame.width)  # upstream's, before it rounds
    pads = [
        Fraction(whole - round(side * ratio), 2)
        for whole, side in ((recipe.input[1], frame.width), (recipe.input[0], frame.height))
    ]
    exact = min(Fraction(recipe.input[0], frame.height), Fraction(recipe.input[1], frame.width))
    return exact * shrink, [pad * shrink for pad in pads]


def inside(sides, rows, columns):
    """The box cut to the last row and column."""
    return [np.float32(min(max(side, 0), (columns - 1, rows - 1)[axis % 2])) for axis, side in enumerate(sides)]


def radius(height, width, share=0.7):
    """The smallest of the three roots, each halved."""
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
    for k, box in enumerate(previous.boxes):
        cut = inside(on_map(box, frame, recipe, rows, columns), rows, columns)
        counted = abs(previous.class_ids[k]) <= recipe.classes and not (
            previous.crowds is not None and previous.crowds[k]
        )
        if previous.track_ids[k] == track_id and counted and cut[2] > cut[0] and cut[3] > cut[1]:
            ratio = np.float32(recipe.down_ratio)
            return (
                float((cut[0] + cut[2]) / np.float32(2) / ratio),
                float((cut[1] + cut[3]) / np.float32(2) / ratio),
            )
    return None


def place_joints(frame, k, recipe, rows, columns):
    """Each joint's x and y in pixels of the map, and its visibility; no keypoints are 17 that nobody annotated."""
    if frame.poses is None:
        return [(0.0, 0.0, 0)] * 17
    placed = []
    for point, visibility in zip(frame.poses.points[k], frame.poses.visibilities[k], strict=True):
        known = point if visibility > 0 else (0.0, 0.0)
        x, y = (np.float32(float(at)) for at in exact_point(known, frame, recipe, rows, columns))
        placed.append((x, y, int(visibility)))
    return placed
