import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.spec import Estimate
from lossrt.validators.oracle.generic import generic_loss
from lossrt.validators.oracle.sums import weighted_sum
from lossrt.validators.oracle.table import ORACLES
from tests.validators.samples import recipe_of, sample_batch


def test_total_is_the_weighted_sum_of_the_active_heads() -> None:
    recipe = recipe_of(weights={"hm": 1.0, "reg": 0.5, "wh": 0.1, "tracking": 0.0, "ltrb_amodal": 0.1})
    out = generic_loss(recipe, sample_batch(recipe))
    assert list(out) == ["loss", "loss_hm", "loss_reg", "loss_wh", "loss_ltrb_amodal"]
    parts = [(recipe.weights[head], out[f"loss_{head}"]) for head in recipe.active_heads]
    assert float(out["loss"].value) == pytest.approx(sum(w * float(part.value) for w, part in parts), rel=1e-15)
    assert float(out["loss"].scale) == pytest.approx(sum(w * float(part.scale) for w, part in parts), rel=1e-15)
    # As many terms as one sum of that scale would need to be off by as much as all parts together.
    growth = sum(w * np.sqrt(part.terms) * float(part.scale) for w, part in parts)
    assert np.sqrt(out["loss"].terms) * float(out["loss"].scale) == pytest.approx(growth, rel=1e-2)
    assert np.sqrt(out["loss"].terms) * float(out["loss"].scale) >= growth
    assert all(part.value.shape == part.scale.shape == () for part in out.values())


def test_inactive_heads_need_no_arrays() -> None:
    recipe = recipe_of(weights={"hm": 1.0, "reg": 0.0, "wh": 0.0, "tracking": 0.0, "ltrb_amodal": 0.0})
    arrays = {
        key: value for key, value in sample_batch(recipe).items() if key in {"pred_hm", "hm", "ind", "mask", "cat"}
    }
    assert list(generic_loss(recipe, arrays)) == ["loss", "loss_hm"]


def test_stacks_average() -> None:
    two = recipe_of(num_stacks=2)
    arrays = sample_batch(two)
    one = recipe_of()
    first = generic_loss(one, arrays)
    second = generic_loss(one, arrays | {f"pred_{head}": arrays[f"pred_{head}_stack1"] for head in one.heads})
    both = generic_loss(two, arrays)
    for name, part in both.items():
        assert float(part.value) == pytest.approx((float(first[name].value) + float(second[name].value)) / 2, rel=1e-14)
        fewest, most = sorted((first[name].terms, second[name].terms))
        assert fewest <= part.terms <= most


def test_a_part_that_is_next_to_nothing_does_not_widen_the_total() -> None:
    map_sum = Estimate(value=np.asarray(1e-12), scale=np.asarray(1e-12), terms=1_000_000)
    head = Estimate(value=np.asarray(2.0), scale=np.asarray(3.0), terms=100)
    assert weighted_sum([(1.0, map_sum), (0.1, head)]).terms == 101
    assert weighted_sum([(1.0, map_sum), (1e-9, map_sum)]).terms == 1_000_000
    nothing = Estimate(value=np.zeros(()), scale=np.zeros(()), terms=7)
    assert weighted_sum([(1.0, nothing), (0.1, nothing)]).terms == 14
    broken = Estimate(value=np.asarray(np.nan), scale=np.asarray(np.nan), terms=5)
    assert weighted_sum([(1.0, broken), (0.1, head)]).terms == 105


@given(seed=st.integers(0, 2**32 - 1), objects=st.sampled_from([0.0, 0.2, 1.0]))
def test_scale_never_falls_below_the_value(seed: int, objects: float) -> None:
    recipe = recipe_of()
    for part in generic_loss(recipe, sample_batch(recipe, seed, objects=objects)).values():
        assert float(part.scale) >= abs(float(part.value)) * (1 - 1e-12)
        assert part.terms > 0


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["fp16", "bf16"])
def test_deployed_types_are_widened_as_they_are(dtype: type) -> None:
    recipe = recipe_of()
    rounded = {k: v.astype(dtype) if v.dtype == np.float32 else v for k, v in sample_batch(recipe).items()}
    wide = {k: v.astype(np.float64) if v.dtype.kind not in "iu" else v for k, v in rounded.items()}
    narrow, exact = generic_loss(recipe, rounded), generic_loss(recipe, wide)
    assert {k: float(v.value) for k, v in narrow.items()} == {k: float(v.value) for k, v in exact.items()}


def test_the_table_speaks_wire_names() -> None:
    recipe = recipe_of()
    arrays = sample_batch(recipe)
    whole = ORACLES["generic_loss"](recipe, arrays)
    assert float(ORACLES["fast_focal"](recipe, arrays)["loss"].value) == float(whole["loss_hm"].value)
    assert float(ORACLES["reg_weighted_l1"](recipe, arrays)["loss"].value) == float(whole["loss_reg"].value)
    assert ORACLES["gather_feat"](recipe, {"feat": arrays["pred_wh"], "ind": arrays["ind"]})[
        "gathered"
    ].value.shape == (2, 5, 2)
