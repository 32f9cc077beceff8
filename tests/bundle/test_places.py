from pathlib import Path

import pytest

from lossrt.bundle import Bundle, check_outputs, open_bundle, pack_bundle
from lossrt.errors import InputError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file `a`, a folder `d` with a file `b` in it, and a link `l` to `a`."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b").write_text("b")
    (tmp_path / "l").symlink_to(tmp_path / "a")
    return tmp_path


@pytest.mark.parametrize(
    ("outputs", "folders", "kept", "said"),
    [
        ({"-o": "d"}, {}, {}, "expected a file or nothing there, got a folder"),
        ({"-o": "a/x"}, {}, {}, "is a file, so that nothing can lie below it"),
        ({"-o": "a/x/y"}, {}, {}, "is a file, so that nothing can lie below it"),
        ({}, {"--tb": "a"}, {}, "expected a folder or nothing there, got a file"),
        ({}, {"--tb": "a/x"}, {}, "is a file, so that nothing can lie below it"),
        ({"-o": "a"}, {}, {"network": "a"}, "got one that the network '.*a' needs"),
        ({"-o": "l"}, {}, {"network": "a"}, "got one that the network '.*a' needs"),
        ({"-o": "d/../a"}, {}, {"network": "a"}, "got one that the network '.*a' needs"),
        ({"-o": "d/b"}, {}, {"images": "d"}, "got one that the images '.*d' needs"),
        ({"-o": "x", "--curve": "x"}, {}, {}, "expected a place of its own, got that of --curve"),
        ({"-o": "x", "--curve": "d/../x"}, {}, {}, "expected a place of its own, got that of --curve"),
        ({"-o": "x"}, {"--tb": "x"}, {}, "expected a place of its own, got that of --tb"),
    ],
)
def test_what_would_take_something_away_is_refused(place: Path, outputs, folders, kept, said: str) -> None:
    given = [{name: place / path for name, path in table.items()} for table in (outputs, folders, kept)]
    with pytest.raises(InputError, match=said):
        check_outputs(given[0], folders=given[1], kept=given[2])


def test_what_takes_nothing_away_is_not(place: Path) -> None:
    outputs = {"-o": place / "a", "--new": place / "d" / "new", "--none": None}
    check_outputs(
        outputs, folders={"--tb": place / "d"}, kept={"images": place / "d", "none": None, "gone": place / "x"}
    )


@pytest.mark.parametrize("name", ["manifest.json", "x", "graphs/x", "enginesx/x"])
def test_a_bundle_stays_whole(bundle: Bundle, name: str) -> None:
    with pytest.raises(InputError, match="lies in the bundle"):
        check_outputs({"-o": bundle.root / name}, bundle=bundle)


def test_engines_and_reports_may_be_written(bundle: Bundle) -> None:
    check_outputs({"-o": bundle.root / "reports" / "x"}, folders={"--out": bundle.root / "engines"}, bundle=bundle)


def test_a_packed_bundle_is_not_written_over(bundle: Bundle, tmp_path: Path) -> None:
    pack_bundle(bundle, tmp_path / "toy.lossrt")
    with pytest.raises(InputError, match="is the packed bundle itself"):
        check_outputs({"-o": tmp_path / "toy.lossrt"}, bundle=open_bundle(tmp_path / "toy.lossrt"))
