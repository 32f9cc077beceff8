"""The brute-force encoder's part beyond boxes: joints, depth, attributes, rotation, boxes on the ground."""

import math
from fractions import Fraction

import numpy as np

ATTRIBUTE_GROUPS = {
    0: [0, 1],
    1: [0, 1],
    2: [2, 3, 4],
    3: [2, 3, 4],
    4: [2, 3, 4],
    5: [5, 6, 7],
    6: [5, 6, 7],
    7: [5, 6, 7],
}


def spatial_values(frame, k, column, row, place):
    values = {}
    if frame.spatial is None:
        return values
    if not math.isnan(frame.spatial.depths[k]):
        values["dep"] = frame.spatial.depths[k]
    if not any(math.isnan(side) for side in frame.spatial.dims[k]):
        values["dim"] = frame.spatial.dims[k]
    if all(speed > -1000 for speed in frame.spatial.velocities[k]):
        values["velocity"] = frame.spatial.velocities[k]
    if not any(math.isnan(at) for at in frame.spatial.amodal_centres[k]):
        x, y = place(frame.spatial.amodal_centres[k])
        values["amodel_offset"] = float(x - column), float(y - row)
    return values


def add_attribute(out, frame, k):
    if "nuscenes_att" in out and frame.spatial is not None and frame.spatial.attributes[k] > 0:
        chosen = int(frame.spatial.attributes[k]) - 1
        out["nuscenes_att"][k, chosen] = 1
        for other in ATTRIBUTE_GROUPS[chosen]:
            out["nuscenes_att_mask"][k, other] = 1


def add_rotation(out, frame, k):
    if "rotbin" not in out or frame.spatial is None or math.isnan(frame.spatial.alphas[k]):
        return
    alpha = float(frame.spatial.alphas[k])
    out["rot_mask"][k] = 1
    degrees = math.degrees(alpha)
    if degrees < 30 or degrees > 150:
        out["rotbin"][k, 0], out["rotres"][k, 0] = 1, alpha + math.pi / 2
    if degrees > -30 or degrees < -150:
        out["rotbin"][k, 1], out["rotres"][k, 1] = 1, alpha - math.pi / 2


def add_joints(out, points, k, cell, cut, reach, raise_peak, mark):
    rows, columns = out["hm"].shape[1:]
    for j, (x, y, visibility) in enumerate(points):
        slot = 17 * k + j
        if visibility == 0:
            if "hm_hp" in out:
                mark(out["hm_hp"][j], cut)
            continue
        if not (0 <= x < columns and 0 <= y < rows):
            continue
        column, row = int(x), int(y)
        if "hps" in out:
            out["hps"][k, 2 * j : 2 * j + 2] = float(x) - cell[0], float(y) - cell[1]
            out["hps_mask"][k, 2 * j : 2 * j + 2] = 1
        if "hm_hp" in out:
            raise_peak(out["hm_hp"][j], column, row, reach)
            out["hp_ind"][slot], out["joint"][slot] = row * columns + column, j
            out["hm_hp_mask"][slot] = visibility == 2
        if "hp_offset" in out:
            out["hp_offset"][slot] = float(x) - column, float(y) - row
            out["hp_offset_mask"][slot] = visibility == 2


def on_ground(frame, k, recipe, rows, columns):
    """Centre, box twice, and the peak's reach, in pixels of 0.2 m times down_ratio; None for what is off the map."""
    if frame.ground is None:
        return None
    x, y, _ = frame.ground.centres[k]
    width, length, _ = frame.ground.sizes[k]
    if any(math.isnan(number) for number in (x, y, width, length)) or min(width, length) <= 0:
        return None
    pixel = Fraction(1, 5) * recipe.down_ratio
    centre = [
        np.float32(float(Fraction(float(at)) / pixel + Fraction(size, 2))) for at, size in ((x, columns), (y, rows))
    ]
    if not (0 <= int(centre[0]) < columns and 0 <= int(centre[1]) < rows):
        return None
    wide, long = float(width / pixel), float(length / pixel)
    box = [
        float(centre[0]) - wide / 2,
        float(centre[1]) - long / 2,
        float(centre[0]) + wide / 2,
        float(centre[1]) + long / 2,
    ]
    from tests.targets.brute_force import radius

    return centre, box, box, max(2, radius(long, wide, share=0.1))


def add_ground_box(out, frame, k, centre):
    ground = frame.ground
    numbers = [
        float(centre[0]) - int(centre[0]),
        float(centre[1]) - int(centre[1]),
        ground.centres[k, 2],
        *(math.log(side) if side > 0 else math.nan for side in ground.sizes[k]),
        *ground.velocities[k],
        math.sin(ground.headings[k]),
        math.cos(ground.headings[k]),
    ]
    if out["anno_box"].shape[1] == 8:
        del numbers[6:8]
    if any(math.isnan(number) for number in numbers):
        out["mask"][k] = 0
    else:
        out["anno_box"][k] = numbers
