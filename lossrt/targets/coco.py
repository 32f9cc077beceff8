"""Reads COCO-style JSON as CenterTrack's converters write it: boxes, tracks, keypoints, 3D boxes.

Sources: CenterTrack `src/tools/convert_*_to_coco.py`, `convert_nuScenes.py`, and `src/lib/dataset/datasets/` for which
category is which class. Cameras' calibrations are left alone: the targets need none.
"""

__all__ = ["read_coco"]

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from lossrt.errors import InputError
from lossrt.targets.annotations import Frame, FrameSequence, RowCounts
from lossrt.targets.coco_details import read_ground, read_poses, read_spatial
from lossrt.targets.coco_entries import Entry, read_tables
from lossrt.targets.image_size import ImageFolder

LARGEST_SIDE = 100_000  # px
KITTI_REGIONS = {"Van": "Car", "Truck": "Car", "Person_sitting": "Pedestrian", "DontCare": ""}
"""KITTI's categories that are ignored: for the class that they resemble, or for every class."""


def read_coco(path: Path) -> list[FrameSequence]:
    """Read annotations.

    Categories become classes 1, 2, … by growing id. An annotation of category 0 is a region to ignore for every class,
    one of category -c for category c; `iscrowd` marks a crowd. KITTI's DontCare, Van, Truck and Person_sitting are
    ignored as CenterTrack does.

    Args:
        path: The JSON file.

    Returns:
        One sequence a video and camera, in the order of the images, frames by `frame_id`; or one of still images where
        no image has a `video_id`. Annotations keep the file's order.

    Raises:
        InputError: The file, or an entry in it, is malformed; the message names the entry.
        StorageError: The file cannot be read.
    """
    tables = read_tables(path)
    classes = _class_ids(tables["categories"])
    known = {image.values["id"] for image in tables["images"]}
    by_image: dict[int, list[Entry]] = defaultdict(list)
    for annotation in tables["annotations"]:
        image_id = annotation.whole("image_id")
        if image_id not in known:
            raise annotation.refuse("image_id", "the id of an image in the file")
        by_image[image_id].append(annotation)
    folder = ImageFolder(path)
    groups = _group_images(path, tables["images"], tables["videos"])
    sequences = []
    for name, images in groups.items():
        still = not images[0].has("video_id")
        frames = tuple(
            _frame(
                name, index if still else image.whole("frame_id"), image, by_image[image.values["id"]], classes, folder
            )
            for index, image in enumerate(images, start=1)
        )
        sequences.append(FrameSequence(name, frames, tuple(_counts(frame) for frame in frames), video=not still))
    return sequences


def _class_ids(categories: list[Entry]) -> dict[int, int]:
    """Return the class of every category id that an annotation may have, those of ignored regions included."""
    for category in categories:
        if category.whole("id") < 1:
            raise category.refuse("id", "a category from 1 on; 0 and less mark regions to ignore")
    ranked = sorted(categories, key=lambda category: category.whole("id"))
    classes = {category.whole("id"): rank for rank, category in enumerate(ranked, start=1)}
    of_name = {str(category.values.get("name")): category.whole("id") for category in ranked}
    if "DontCare" in of_name:
        resembled = {name: classes.get(of_name.get(like, 0), 0) for name, like in KITTI_REGIONS.items()}
        classes.update({of_name[name]: -class_id for name, class_id in resembled.items() if name in of_name})
    return {0: 0, **{-number: -abs(class_id) for number, class_id in classes.items()}, **classes}


def _group_images(path: Path, images: list[Entry], videos: list[Entry]) -> dict[str, list[Entry]]:
    """Sort the images by sequence, and in each by frame."""
    if not images:
        raise InputError(f"'{path}': images: expected at least one, got none; annotate at least one image")
    if not any(image.has("video_id") for image in images):
        return {path.stem: images}
    names = _video_names(videos)
    sensors = [image.whole("sensor_id") if image.has("sensor_id") else 1 for image in images]
    many = len(set(sensors)) > 1
    groups: dict[str, dict[int, Entry]] = defaultdict(dict)
    for image, sensor in zip(images, sensors, strict=True):
        video = image.whole("video_id")
        if names and video not in names:
            raise image.refuse("video_id", "the id of a video in the file")
        name = names.get(video, str(video)) + (f" sensor {sensor}" if many else "")
        other = groups[name].setdefault(image.whole("frame_id", least=0), image)
        if other is not image:
            raise image.refuse(
                "frame_id", f"a frame of its own in '{name}' (image {other.values['id']} has it already)"
            )
    grouped = {name: [group[index] for index in sorted(group)] for name, group in groups.items()}
    for sequence in grouped.values():
        _check_links(sequence)
    return grouped


def _video_names(videos: list[Entry]) -> dict[int, str]:
    names = {video.whole("id"): str(video.values.get("file_name", video.values["id"])) for video in videos}
    twice = Counter(names.values())
    return {number: name if twice[name] == 1 else f"{name} (video {number})" for number, name in names.items()}


def _check_links(images: list[Entry]) -> None:
    """Refuse an image that calls another one its previous than the frame numbers do; one that is not here is none."""
    present = {image.values["id"]: image.whole("frame_id") for image in images}
    for image in images:
        if image.has("prev_image_id"):
            before = present.get(image.whole("prev_image_id"))
            if before is not None and before != image.whole("frame_id") - 1:
                raise image.refuse(
                    "prev_image_id", f"the image of frame {image.whole('frame_id') - 1}", f"that of frame {before}"
                )


def _frame(
    name: str, index: int, image: Entry, annotations: list[Entry], classes: dict[int, int], folder: ImageFolder
) -> Frame:
    height, width = _size(image, folder)
    class_ids = [_class_of(annotation, classes) for annotation in annotations]
    crowds = np.array([annotation.flag("iscrowd") for annotation in annotations], dtype=np.bool_)
    objects = [
        annotation if class_id > 0 and not crowd else None
        for annotation, class_id, crowd in zip(annotations, class_ids, crowds.tolist(), strict=True)
    ]
    return Frame(
        sequence=name,
        index=index,
        height=height,
        width=width,
        boxes=np.array([_box(annotation) for annotation in annotations], dtype=np.float64).reshape(-1, 4),
        track_ids=np.array(_track_ids(annotations, objects), dtype=np.int64),
        class_ids=np.array(class_ids, dtype=np.int64),
        crowds=crowds if crowds.any() else None,
        poses=read_poses(objects),
        spatial=read_spatial(objects),
        ground=read_ground(objects),
        file_name=str(image.values.get("file_name", "")),
    )


def _size(image: Entry, folder: ImageFolder) -> tuple[int, int]:
    if image.has("height") and image.has("width"):
        return image.whole("height", least=1, most=LARGEST_SIDE), image.whole("width", least=1, most=LARGEST_SIDE)
    size = folder.size(str(image.values.get("file_name", "")))
    if size is None or min(size) < 1:
        missing = "width" if image.has("height") else "height"
        raise image.refuse(
            missing,
            "height and width in px, or the image itself under the annotations' folder, which CenterTrack's converters "
            "for MOT, KITTI and CrowdHuman rely on",
            f"neither (file_name: {image.values.get('file_name')!r})",
        )
    return size


def _class_of(annotation: Entry, classes: dict[int, int]) -> int:
    number = annotation.whole("category_id")
    if number not in classes:
        expected = ", ".join(str(known) for known in sorted(classes) if known > 0)
        raise annotation.refuse("category_id", f"one of {expected[:200]}, or 0 or its negative to ignore a region")
    return classes[number]


def _box(annotation: Entry) -> list[float]:
    left, top, width, height = annotation.numbers("bbox", "left", "top", "width", "height")
    if width < 0 or height < 0:
        raise annotation.refuse("bbox", "a width and a height >= 0 px")
    return [left, top, left + width, top + height]


def _track_ids(annotations: list[Entry], objects: list[Entry | None]) -> list[int]:
    """Return the tracks; a track stands for one object of an image at most."""
    ids = [annotation.whole("track_id") if annotation.has("track_id") else -1 for annotation in annotations]
    seen: dict[int, Entry] = {}
    for number, entry in zip(ids, objects, strict=True):
        if entry is not None and number >= 0 and seen.setdefault(number, entry) is not entry:
            raise entry.refuse("track_id", f"each track once an image (annotation {seen[number].values['id']} has it)")
    return ids


def _counts(frame: Frame) -> RowCounts:
    count = len(frame.class_ids)
    regions = int(((frame.class_ids <= 0) | frame.is_crowd).sum())
    return RowCounts(rows=count, considered=count - regions, kept=count)
