"""Faults planted into a gradient graph's results, each judged as `lossrt validate` judges them."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lossrt.bundle import Bundle
from lossrt.errors import InputError
from lossrt.runtime.ort import OrtSession
from lossrt.validators.parity import validate
from lossrt.validators.report import Result

GRAPH = "generic_loss_grad"
Arrays = dict[str, NDArray[Any]]
Fault = Callable[[Arrays, Arrays], None]


class Broken:
    """A session of the right graph whose results something happened to."""

    def __init__(self, path: Path, fault: Fault) -> None:
        self._session, self._fault = OrtSession(path), fault
        self.backend, self.device, self.output_names = "broken", "cpu", self._session.output_names

    def __enter__(self) -> "Broken":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._session.__exit__(None, None, None)

    def run(self, feeds: Arrays) -> Arrays:
        outputs = {name: array.copy() for name, array in self._session.run(feeds).items()}
        self._fault(feeds, outputs)
        return outputs


def judged(bundle: Bundle, fault: Fault) -> list[Result]:
    return validate(bundle, open_session=lambda path: Broken(path, fault), graphs=[GRAPH])


def last_slot_wins(feeds: Arrays, outputs: Arrays) -> None:
    """What a scatter without its reduction leaves: of the slots of one pixel, the last one's share."""
    count = feeds["tracking_mask"].astype(np.float64).sum() + 1e-4
    flat = outputs["grad_pred_tracking"].reshape(*outputs["grad_pred_tracking"].shape[:2], -1)
    for image, slot in np.ndindex(feeds["ind"].shape):
        pixel = feeds["ind"][image, slot]
        pred = feeds["pred_tracking"].reshape(flat.shape)[image, :, pixel]
        mask = feeds["tracking_mask"][image, slot]
        flat[image, :, pixel] = np.sign((pred - feeds["tracking"][image, slot]) * mask) * mask / count


def scaled(feeds: Arrays, outputs: Arrays) -> None:
    outputs["grad_pred_hm"] *= np.float32(1.001)


def without_weight(feeds: Arrays, outputs: Arrays) -> None:
    outputs["grad_pred_wh"] *= np.float32(10)


def a_stray_element(feeds: Arrays, outputs: Arrays) -> None:
    gradient = outputs["grad_pred_reg"]
    gradient.flat[np.flatnonzero(gradient == 0)[-1]] = 1e-20


def heads_swapped(feeds: Arrays, outputs: Arrays) -> None:
    outputs["grad_pred_reg"], outputs["grad_pred_tracking"] = outputs["grad_pred_tracking"], outputs["grad_pred_reg"]


def past_the_clamp(feeds: Arrays, outputs: Arrays) -> None:
    """The slope of the probability without upstream's clamp: small, but not 0."""
    outputs["grad_pred_hm"][np.abs(feeds["pred_hm"]) > 9.3] = 1e-9


FAULTS: dict[str, tuple[Fault, str, set[str]]] = {
    "shared pixels not added up": (last_slot_wins, "grad_pred_tracking", {"duplicates"}),
    "scaled by 1.001": (scaled, "grad_pred_hm", {"nominal", "empty", "full", "single"}),
    "a head's weight missing": (without_weight, "grad_pred_wh", {"nominal", "full", "duplicates"}),
    "an element beside the objects": (a_stray_element, "grad_pred_reg", {"nominal", "empty", "border"}),
    "two heads swapped": (heads_swapped, "grad_pred_reg", {"nominal", "full"}),
    "a slope behind the clamp": (past_the_clamp, "grad_pred_hm", {"saturated"}),
}


def test_the_graph_itself_passes_every_case_with_every_direction(small_bundle: Bundle) -> None:
    results = judged(small_bundle, lambda _feeds, _outputs: None)
    assert {row.verdict for row in results} == {"pass"}
    assert {row.case for row in results} == set(small_bundle.entry("generic_loss").cases["fp32"])
    for row in results:
        assert (row.direction is not None) == row.output.startswith("grad_")
        assert (row.reference is None) == row.output.startswith("grad_")


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_fails(name: str, small_bundle: Bundle) -> None:
    fault, output, cases = FAULTS[name]
    failed = {row.case for row in judged(small_bundle, fault) if row.verdict == "fail" and row.output == output}
    assert cases <= failed


def test_the_gradients_cases_are_small_and_borrow_their_inputs(small_bundle: Bundle) -> None:
    entry = small_bundle.entry(GRAPH)
    assert entry.inputs_of == "generic_loss"
    for name in entry.cases["fp32"]:
        path = small_bundle.case_path(GRAPH, "fp32", name)
        assert path.stat().st_size < 8192
        case, lender = small_bundle.case(GRAPH, "fp32", name), small_bundle.case("generic_loss", "fp32", name)
        assert case.input.keys() == lender.input.keys()
        outputs = {output.name for output in entry.spec.outputs}
        assert set(case.oracle) | set(case.own_error) == outputs
        assert set(case.own_error) == {output for output in outputs if output.startswith("grad_")}
        assert all(np.isfinite(value) and value >= 0 for value in case.own_error.values())


def test_a_bundle_of_no_recipe_cannot_do_without_the_oracle(small_bundle: Bundle, tmp_path: Path) -> None:
    import shutil

    from lossrt.bundle import open_bundle
    from lossrt.bundle.files import file_digest

    shutil.copytree(small_bundle.root, tmp_path / "copy")
    manifest = small_bundle.manifest.model_copy(update={"recipe": None})
    (tmp_path / "copy" / "manifest.json").write_text(manifest.model_dump_json(by_alias=True))
    assert file_digest(tmp_path / "copy" / "manifest.json") != small_bundle.bundle_id
    with pytest.raises(InputError, match="expected 'oracle/grad_pred_hm' in it; export again"):
        judged(open_bundle(tmp_path / "copy"), lambda _feeds, _outputs: None)
