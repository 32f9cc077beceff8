import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.targets.annotations import RowCounts, frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.formats import read_annotations
from lossrt.targets.motchallenge import read_motchallenge

IMAGE = {"id": 4, "height": 90, "width": 160, "video_id": 2, "frame_id": 1, "file_name": "a.png"}
BOX = {"id": 11, "image_id": 4, "category_id": 1, "bbox": [10.0, 20.0, 30.0, 40.0], "track_id": 5}
CONTENT = {
    "images": [IMAGE],
    "annotations": [BOX],
    "categories": [{"id": 1, "name": "car"}, {"id": 3, "name": "bus"}],
    "videos": [{"id": 2, "file_name": "street"}],
}
KITTI = ["Pedestrian", "Car", "Cyclist", "Van", "Truck", "Person_sitting", "Tram", "Misc", "DontCare"]


@pytest.fixture
def read(tmp_path):
    def run(content=None, **tables):
        path = tmp_path / "scenes.json"
        path.write_text(content if isinstance(content, str) else json.dumps({**copy.deepcopy(CONTENT), **tables}))
        return read_annotations(path)

    return run


def image(number, **changes):
    return {**IMAGE, "id": number, **changes}


def box(number=11, **changes):
    return {key: value for key, value in {**BOX, "id": number, **changes}.items() if value is not ...}


def frame_of(read, *boxes, **tables):
    (sequence,) = read(annotations=list(boxes), **tables)
    return sequence.frames[0]


def test_an_annotation(read):
    (sequence,) = read()
    frame = sequence.frames[0]
    assert (sequence.name, frame.index, frame.height, frame.width) == ("street", 1, 90, 160)
    assert frame.boxes.tolist() == [[10, 20, 40, 60]]
    assert (frame.track_ids.tolist(), frame.class_ids.tolist(), frame.identities.tolist()) == ([5], [1], [0])
    assert (frame.crowds, frame.poses, frame.spatial, frame.ground) == (None, None, None, None)
    assert sequence.counts == (RowCounts(1, 1, 1),)


def test_frames_are_sorted_and_annotations_keep_their_order(read):
    images = [image(4, frame_id=7), image(9, frame_id=3), image(2, frame_id=4)]
    boxes = [box(1, image_id=9, track_id=3), box(2, image_id=4), box(3, image_id=9, track_id=1)]
    (sequence,) = read(images=images, annotations=boxes)
    assert [frame.index for frame in sequence.frames] == [3, 4, 7]
    assert [frame.track_ids.tolist() for frame in sequence.frames] == [[3, 1], [], [5]]
    assert [before is not None for _, before in frame_pairs([sequence])] == [False, True, False]


def test_videos_and_cameras_are_sequences_of_their_own(read):
    images = [image(n, video_id=v, sensor_id=s, frame_id=1) for n, (v, s) in enumerate([(2, 1), (2, 6), (7, 1)])]
    videos = [{"id": 2, "file_name": "x"}, {"id": 7, "file_name": "x"}]
    names = [sequence.name for sequence in read(images=images, annotations=[], videos=videos)]
    assert names == ["x (video 2) sensor 1", "x (video 2) sensor 6", "x (video 7) sensor 1"]
    assert [s.name for s in read(images=images[:1], annotations=[], videos=[])] == ["2"]


def test_still_images_have_none_before_them(read):
    images = [{"id": n, "height": 9, "width": 9} for n in (5, 6)]
    (sequence,) = read(images=images, annotations=[box(image_id=6, track_id=...)], videos=[])
    assert (sequence.name, sequence.video) == ("scenes", False)
    assert [before for _, before in frame_pairs([sequence])] == [None, None]
    assert [frame.index for frame in sequence.frames] == [1, 2]
    assert sequence.frames[1].track_ids.tolist() == [-1]
    assert sequence.frames[1].identities.tolist() == [-1]


@pytest.mark.parametrize(
    ("changes", "class_id", "crowd"),
    [
        ({"category_id": 3}, 2, False),
        ({"category_id": 3.0}, 2, False),
        ({"category_id": 0}, 0, False),
        ({"category_id": -1}, -1, False),
        ({"category_id": -3}, -2, False),
        ({"iscrowd": 1}, 1, True),
        ({"iscrowd": True}, 1, True),
        ({"iscrowd": 0}, 1, False),
        ({"iscrowd": None}, 1, False),
    ],
)
def test_categories_and_crowds(changes, class_id, crowd, read):
    frame = frame_of(read, box(**changes))
    assert (frame.class_ids.tolist(), frame.is_crowd.tolist()) == ([class_id], [crowd])


def test_boxes_may_be_thin_or_empty(read):
    frame = frame_of(read, box(1, bbox=[1, 2, 0, 0.5]), box(2, bbox=[1, 2, 0.5, 0], track_id=6))
    assert frame.boxes.tolist() == [[1, 2, 1, 2.5], [1, 2, 1.5, 2]]


def test_kitti_ignores_what_resembles_a_class(read):
    categories = [{"id": number, "name": name} for number, name in enumerate(KITTI, start=1)]
    boxes = [box(n, category_id=n, track_id=...) for n in range(1, 10)]
    assert frame_of(read, *boxes, categories=categories).class_ids.tolist() == [1, 2, 3, -2, -2, -1, 7, 8, 0]
    del categories[8]
    assert frame_of(read, *boxes[:8], categories=categories).class_ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_keypoints(read):
    joints = [float(n) for n in range(51)]
    joints[2::3] = [0, 1, 2] * 5 + [2, 0]
    frame = frame_of(read, box(1, keypoints=joints, num_keypoints=11), box(2, track_id=6))
    assert frame.poses.points[0, 4].tolist() == [12, 13]
    assert frame.poses.visibilities[0].tolist() == [0, 1, 2] * 5 + [2, 0]
    assert not frame.poses.visibilities[1].any()


def test_a_box_in_depth(read):
    known = {
        "depth": 9.0,
        "alpha": -1.5,
        "dim": [1.5, 2.0, 4.0],
        "amodel_center": [33.0, 44.0],
        "attributes": 7,
        "velocity": [1.0, 2.0, 3.0, 0.0],
        "location": [1.0, 1.6, 9.0],
        "rotation_y": 0.5,
    }
    frame = frame_of(read, box(1, **known), box(2, track_id=6), box(3, category_id=0, depth=-1000.0, dim=[-1, -1, -1]))
    spatial = frame.spatial
    assert (spatial.depths[0], spatial.alphas[0], spatial.attributes[0]) == (9.0, -1.5, 7)
    assert spatial.dims[0].tolist() == [1.5, 2.0, 4.0]
    assert spatial.amodal_centres[0].tolist() == [33.0, 44.0]
    assert spatial.velocities[0].tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(frame.ground.centres[0], [1.0, 9.0, -0.85])
    assert frame.ground.velocities[0].tolist() == [1.0, 3.0]
    for numbers in (spatial.depths, spatial.alphas, spatial.dims, spatial.velocities, frame.ground.headings):
        assert np.isnan(numbers[1:]).all()
    assert spatial.attributes[1:].tolist() == [0, 0]


def test_what_tools_write_for_unknown(read):
    frame = frame_of(read, box(1, velocity=[float("nan")] * 3, attributes={"occluded": False}, depth=None))
    assert np.isnan(frame.spatial.velocities).all()
    assert frame.spatial.attributes.tolist() == [0]


def test_sizes_come_from_the_images_where_the_file_has_none(mot17_02, tmp_path):
    """The real sequence, converted as CenterTrack does, gives what MOTChallenge's own files give."""
    rows = np.loadtxt(mot17_02 / "gt" / "gt.txt", delimiter=",", dtype=np.float32)
    annotations = [
        {"id": n, "image_id": int(row[0]), "track_id": int(row[1]), "bbox": row[2:6].tolist(), "category_id": 1}
        for n, row in enumerate(rows)
        if row[8] >= 0.25 and row[6] == 1 and row[7] == 1
    ]
    images = [
        {
            "id": n,
            "file_name": f"{mot17_02.name}/img1/{n:06d}.jpg",
            "frame_id": n,
            "video_id": 1,
            "prev_image_id": n - 1 if n > 1 else -1,
        }
        for n in range(1, 5)
    ]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train").symlink_to(mot17_02.parent, target_is_directory=True)
    path = tmp_path / "annotations" / "train.json"
    categories = [{"id": 1, "name": "pedestrian"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories, "videos": []}))
    recipe = load_recipe("mot17")
    got = encode_batch(frame_pairs(read_annotations(path)), recipe).arrays
    wanted = encode_batch(frame_pairs([read_motchallenge(mot17_02)]), recipe).arrays
    order = [np.argsort(arrays["ind"], axis=1) for arrays in (got, wanted)]
    np.testing.assert_array_equal(got["hm"], wanted["hm"])
    for name in ("ind", "mask"):
        np.testing.assert_array_equal(
            np.take_along_axis(got[name], order[0], 1), np.take_along_axis(wanted[name], order[1], 1)
        )
    np.testing.assert_allclose(got["tracking"].sum(axis=1), wanted["tracking"].sum(axis=1), rtol=1e-5)


NAN, INF = float("nan"), float("inf")
BAD_BOXES = {
    "no-id": ({"id": ...}, r"annotation at position 0: id: expected a whole number, got nothing"),
    "word-id": ({"id": "x"}, "annotation at position 0: id: expected a whole number, got 'x'"),
    "huge-id": ({"id": 2**60}, "id: expected a whole number"),
    "no-image": ({"image_id": ...}, "annotation 11: image_id: expected a whole number, got nothing"),
    "other-image": ({"image_id": 5}, "annotation 11: image_id: expected the id of an image in the file, got 5"),
    "no-category": ({"category_id": ...}, "annotation 11: category_id: expected a whole number, got nothing"),
    "other-category": ({"category_id": 2}, "annotation 11: category_id: expected one of 1, 3, or 0 .*, got 2"),
    "other-ignored": ({"category_id": -2}, "annotation 11: category_id: expected one of 1, 3"),
    "no-box": (
        {"bbox": ...},
        r"annotation 11: bbox: expected \[left, top, width, height\], finite numbers, got nothing",
    ),
    "short-box": ({"bbox": [1, 2, 3]}, r"bbox: .* got \[1, 2, 3\]"),
    "nan-box": ({"bbox": [1, NAN, 3, 4]}, r"annotation 11: bbox: .* got \[1, nan, 3, 4\]"),
    "infinite-box": ({"bbox": [1, 2, INF, 4]}, "bbox: .*finite numbers"),
    "huge-box": ({"bbox": [1, 2, 1e300, 4]}, "bbox: .*finite numbers"),
    "endless-box": ({"bbox": [1, 2, 10**400, 4]}, "bbox: .*finite numbers"),
    "endless-velocity": ({"velocity": [NAN, 10**400, 4]}, "velocity: .*NaN where unknown"),
    "late-nan-box": ({"bbox": [1, 2, 3, NAN]}, "bbox: .*finite numbers"),
    "word-box": ({"bbox": [1, 2, "3", 4]}, "bbox: .*finite numbers"),
    "true-box": ({"bbox": [1, 2, True, 4]}, "bbox: .*finite numbers"),
    "negative-width": ({"bbox": [1, 2, -3, 4]}, "annotation 11: bbox: expected a width and a height >= 0 px"),
    "negative-height": ({"bbox": [1, 2, 3, -4]}, "annotation 11: bbox: expected a width and a height >= 0 px"),
    "crowd": ({"iscrowd": 2}, "annotation 11: iscrowd: expected 0 or 1, got 2"),
    "track": ({"track_id": 1.5}, "annotation 11: track_id: expected a whole number, got 1.5"),
    "short-keypoints": ({"keypoints": [1, 2, 2]}, "annotation 11: keypoints: .*17 joints, 51 numbers, got 3 numbers"),
    "keypoints": ({"keypoints": {}}, "keypoints: expected .* got dict"),
    "nan-keypoints": ({"keypoints": [NAN] * 51}, "annotation 11: keypoints: .*finite"),
    "visibility": ({"keypoints": [3] * 51}, "annotation 11: keypoints: expected visibilities 0, 1 or 2"),
    "depth": ({"depth": NAN}, "annotation 11: depth: expected a finite number, got nan"),
    "alpha": ({"alpha": "left"}, "annotation 11: alpha: expected a finite number, got 'left'"),
    "alpha-unknown": ({"alpha": -10}, r"annotation 11: alpha: expected radians in \[-2π, 2π\], got -10"),
    "negative-depth": ({"depth": -1.5}, "annotation 11: depth: expected a depth >= 0 m, got -1.5"),
    "nan-joint": ({"keypoints": [NAN] * 51}, r"annotation 11: keypoints: expected 51 finite numbers, got \[nan"),
    "dim": ({"dim": [1, 2]}, r"annotation 11: dim: expected \[height, width, length\], finite"),
    "negative-dim": ({"dim": [1, -2, 3]}, r"annotation 11: dim: expected \[height, width, length\] >= 0 m"),
    "amodel-center": ({"amodel_center": [1]}, r"annotation 11: amodel_center: expected \[x, y\]"),
    "attributes": ({"attributes": 9}, r"annotation 11: attributes: expected a whole number in 0\.\.8, got 9"),
    "velocity": ({"velocity": [1, 2]}, r"annotation 11: velocity: expected \[x, y, z\]"),
    "infinite-velocity": ({"velocity": [1, 2, INF]}, "velocity: .*NaN where unknown"),
    "location": ({"location": [1, 2]}, r"annotation 11: location: expected \[x, y, z\]"),
    "rotation": ({"rotation_y": NAN}, "annotation 11: rotation_y: expected a finite number"),
}


@pytest.mark.parametrize(("changes", "words"), BAD_BOXES.values(), ids=BAD_BOXES)
def test_a_bad_annotation_is_named(changes, words, read):
    with pytest.raises(InputError, match=rf"scenes\.json' .*{words}.*fix or remove the annotation"):
        read(annotations=[box(**changes)])


BAD_TABLES = {
    "annotation-twice": (
        {"annotations": [box(), box(3), box()]},
        "annotation at position 2: id: expected an id of its own .*position 0.* got 11",
    ),
    "image-twice": (
        {"images": [IMAGE, IMAGE]},
        "image at position 1: id: expected an id of its own .*position 0.* got 4",
    ),
    "category-twice": ({"categories": [{"id": 1}, {"id": 1}]}, "category at position 1: id: expected an id of its own"),
    "video-twice": ({"videos": [{"id": 2}, {"id": 2}]}, "video at position 1: id: expected an id of its own"),
    "track-twice": (
        {"annotations": [box(1), box(2)]},
        r"annotation 2: track_id: expected each track once an image \(annotation 1",
    ),
    "frame-twice": (
        {"images": [IMAGE, image(5)]},
        r"image 5: frame_id: expected a frame of its own in 'street' \(image 4",
    ),
    "category-zero": ({"categories": [{"id": 0}]}, "category at position 0: id: expected a category from 1 on"),
    "other-video": (
        {"images": [image(4, video_id=9)]},
        "image 4: video_id: expected the id of a video in the file, got 9",
    ),
    "some-videos": ({"images": [IMAGE, {"id": 5}]}, "image 5: video_id: expected a whole number, got nothing"),
    "no-frame": ({"images": [image(4, frame_id=None)]}, "image 4: frame_id: expected a whole number"),
    "other-previous": (
        {"images": [IMAGE, image(5, frame_id=3, prev_image_id=4)]},
        "image 5: prev_image_id: expected the image of frame 2, got that of frame 1",
    ),
    "zero-height": (
        {"images": [image(4, height=0)]},
        r"image 4: height: expected a whole number in 1\.\.100000, got 0",
    ),
    "no-height": (
        {"images": [image(4, height=None)]},
        r"image 4: height: expected height and width .*neither \(file_name: 'a\.png'\)",
    ),
    "no-width": ({"images": [image(4, width=None)]}, "image 4: width: expected height and width in px"),
    "not-an-object": ({"annotations": [[1, 2]]}, r"annotation at position 0: expected an object, got \[1, 2\]"),
}


@pytest.mark.parametrize(("tables", "words"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_entry_is_named(tables, words, read):
    with pytest.raises(InputError, match=rf"scenes\.json' {words}"):
        read(**tables)


BAD_FILES = {
    "empty": ("", "expected a JSON file"),
    "cut": ('{"images": [', "expected a JSON file"),
    "deep": ("[" * 100_000, "expected a JSON file"),
    "long-number": ("9" * 5000, "expected a JSON file"),
    "list": ("[]", "expected an object with images, categories, annotations, videos, got list"),
    "no-images": (
        '{"annotations": [], "categories": []}',
        "images: expected a list, got NoneType; present: annotations",
    ),
    "no-annotations": ('{"images": [], "categories": []}', "annotations: expected a list"),
    "no-categories": ('{"images": [], "annotations": {}}', "categories: expected a list"),
    "object": ('{"images": {}, "annotations": [], "categories": []}', "images: expected a list, got dict"),
    "nothing-in-it": ('{"images": [], "annotations": [], "categories": []}', "images: expected at least one"),
}


@pytest.mark.parametrize(("text", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named(text, words, read):
    with pytest.raises(InputError, match=rf"scenes\.json': {words}"):
        read(text)


RICH = {
    **CONTENT,
    "images": [{**IMAGE, "sensor_id": 1, "prev_image_id": 3}, {**IMAGE, "id": 5, "frame_id": 2, "sensor_id": 1}],
    "annotations": [
        {
            **BOX,
            "iscrowd": 0,
            "keypoints": [1, 2, 2] * 17,
            "depth": 9.0,
            "alpha": -1.5,
            "dim": [1.5, 2.0, 4.0],
            "amodel_center": [33.0, 44.0],
            "attributes": 7,
            "velocity": [1.0, 2.0, 3.0],
            "location": [1.0, 1.6, 9.0],
            "rotation_y": 0.5,
        }
    ],
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**400, -(2**60), 1e308, NAN, INF, -INF, "", "x", {}, [], [[]]]),
)


def places(value, path=()):
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, part in inner for place in places(part, (*path, key)))]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(places(RICH)), junk=JUNK)
def test_whatever_stands_anywhere_is_read_and_encoded_or_refused(place, junk, read):
    content = copy.deepcopy(RICH)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    try:
        sequences = read(**content)
    except InputError:
        return
    for name in ("coco_pose", "nuscenes", "fairmot", "centerpoint"):
        encode_batch(frame_pairs(sequences), load_recipe(name, input=(32, 48)))


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00\x01\x02")
    with pytest.raises(InputError, match=r"a\.json': expected a JSON file"):
        read_annotations(tmp_path / "a.json")


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "scenes.json"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(
        InputError, match=r"scenes\.json': expected a JSON file, got one that is no text; give the annotations"
    ):
        read_annotations(path)
