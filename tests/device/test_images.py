"""Images are found by the annotations' name or by number, and never outside the folder."""

import json
from dataclasses import replace

import pytest

from lossrt.device.images import find_image
from lossrt.errors import InputError
from lossrt.targets.formats import read_annotations
from tests.device.finetune.samples import frame


@pytest.mark.parametrize(
    "place", ["street/img1/000007.jpg", "img1/000007.png", "street/000007.jpeg", "000007.webp"], ids=str
)
def test_numbered_images_are_found(tmp_path, place) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    assert find_image(tmp_path, frame(7)) == tmp_path / place
    with pytest.raises(InputError, match=r"frame 8 of 'street': expected its image as '.*img1/000008.jpg'"):
        find_image(tmp_path, frame(8))


def test_named_images_are_found(tmp_path) -> None:
    entry = {"id": 5, "file_name": "cam/left.jpg", "height": 100, "width": 200}
    data = {"images": [entry], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "notes.json").write_text(json.dumps(data))
    (found,) = read_annotations(tmp_path / "notes.json")[0].frames
    with pytest.raises(InputError, match=r"expected its image as '.*cam/left.jpg'"):
        find_image(tmp_path, found)
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam" / "left.jpg").touch()
    assert find_image(tmp_path, found) == tmp_path / "cam" / "left.jpg"
    assert find_image(tmp_path / "cam", found) == tmp_path / "cam" / "left.jpg"


@pytest.mark.parametrize("name", ["../left.jpg", "/left.jpg"], ids=["above", "absolute"])
def test_names_that_lead_out_are_refused(tmp_path, name) -> None:
    with pytest.raises(InputError, match="expected a file_name below --frames"):
        find_image(tmp_path, replace(frame(1), file_name=name))
