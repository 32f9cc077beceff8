import struct

import pytest

from lossrt.targets.image_size import ImageFolder, image_size


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"


def jpeg(width, height, *, frame=0xC0, before=b""):
    app = b"\xff\xe0" + struct.pack(">H", 16) + bytes(14)
    return b"\xff\xd8" + app + before + b"\xff" + bytes([frame]) + struct.pack(">HBHH", 11, 8, height, width) + bytes(9)


TABLES = b"\xff\xdb" + struct.pack(">H", 67) + bytes(65)
HUFFMAN = b"\xff\xc4" + struct.pack(">H", 9) + b"\x00\xff\xc0\x00\x11\x08\x00"  # looks like a frame header inside


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (png(1242, 375), (375, 1242)),
        (jpeg(1920, 1080), (1080, 1920)),
        (jpeg(7, 9, frame=0xC2, before=TABLES), (9, 7)),
        (jpeg(7, 9, before=HUFFMAN + b"\xff\xff\xff\xd0\xff\x01"), (9, 7)),
        (b"", None),
        (b"GIF89a" + bytes(30), None),
        (png(3, 4)[:20], None),
        (jpeg(3, 4)[:15], None),
        (jpeg(3, 4)[:24], None),
        (b"\xff\xd8" + bytes(30), None),
    ],
    ids=["png", "jpeg", "progressive", "padding", "empty", "gif", "cut-png", "cut-jpeg", "cut-frame", "broken-jpeg"],
)
def test_sizes_are_read_from_the_first_bytes(content, size, tmp_path):
    (tmp_path / "image").write_bytes(content)
    assert image_size(tmp_path / "image") == size


def test_a_real_image(mot17_02):
    assert image_size(mot17_02 / "img1" / "000001.jpg") == (1080, 1920)


@pytest.mark.parametrize("folder", [".", "images", "data_tracking_image_2/training/image_02"])
@pytest.mark.parametrize("annotations", ["a.json", "annotations/a.json"])
def test_images_lie_up_to_three_folders_deep(folder, annotations, tmp_path):
    (tmp_path / folder / "0000").mkdir(parents=True)
    (tmp_path / folder / "0000" / "000000.png").write_bytes(png(8, 4))
    (tmp_path / folder / "0000" / "000001.png").write_bytes(png(9, 4))
    images = ImageFolder(tmp_path / annotations)
    assert images.size("0000/000000.png") == (4, 8)
    assert images.size("0000/000001.png") == (4, 9)
    assert images.size("0000/000002.png") is None


def test_names_that_leave_the_folder_are_not_looked_for(tmp_path):
    (tmp_path / "a.png").write_bytes(png(8, 4))
    (tmp_path / "in").mkdir()
    images = ImageFolder(tmp_path / "in" / "a.json")
    assert images.size("../a.png") is None
    assert images.size(str(tmp_path / "a.png")) is None
    assert images.size("") is None
