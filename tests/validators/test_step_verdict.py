"""A step is judged by the change that it makes: the verdict tells its length and its direction beside the worst weight."""

import numpy as np
import pytest

from lossrt.spec import Estimate
from lossrt.validators.step_verdict import judge_change, old_name

RNG = np.random.default_rng(0)
OLD = RNG.normal(0, 1, (64, 50)).astype(np.float32)
STEP = RNG.normal(0, 2e-8, OLD.shape)
NEW = OLD + STEP
EXPECTED = Estimate(NEW, np.abs(NEW) / 10, 100)
RIGHT = NEW.astype(np.float32)


def test_a_right_step_passes():
    verdict = judge_change("new_param_a", RIGHT, EXPECTED, old=OLD, reference=RIGHT)
    assert verdict.verdict == "pass"
    assert verdict.direction is not None
    assert verdict.direction.allowed > verdict.direction.error


@pytest.mark.parametrize(("factor", "ratio"), [(0.0, 0.0), (-1.0, 1.0), (20.0, 20.0)], ids=["none", "back", "too far"])
def test_a_wrong_change_fails_and_its_length_is_told(factor, ratio):
    moved = 1e-3 * RNG.normal(0, 1, OLD.shape)
    expected = Estimate(OLD + moved, np.abs(OLD) / 10, 100)
    verdict = judge_change("new_param_a", (OLD + factor * moved).astype(np.float32), expected, old=OLD)
    assert verdict.verdict == "fail"
    assert verdict.direction is not None
    assert verdict.direction.norm_ratio == pytest.approx(ratio, rel=1e-3, abs=1e-3)


def test_no_result_fails():
    assert judge_change("new_param_a", None, EXPECTED, old=OLD).verdict == "fail"


def test_an_output_takes_the_place_of_an_input():
    assert old_name("new_exp_avg_hm_0_weight") == "exp_avg_hm_0_weight"


def test_validate_judges_the_change(tmp_path):
    pytest.importorskip("torch", reason="the cases are the torch side's")
    from lossrt.bundle import Case
    from lossrt.export.head_step_cases import step_cases
    from lossrt.models.head_step_spec import spec
    from lossrt.recipe import load_recipe
    from lossrt.validators import parity
    from lossrt.validators.oracle.head_step import head_step
    from lossrt.validators.tolerances import DEFAULT_POLICY

    recipe = load_recipe("mot17", max_objs=16, heads={"hm": 1, "reg": 2}, weights={"hm": 1.0, "reg": 1.0})
    arrays = step_cases(recipe, "full", "sgd", seed=0)["nominal"]
    estimates = head_step(recipe, arrays, optimizer="sgd")
    case = Case("nominal", arrays)
    right = {name: estimate.value.astype(np.float32) for name, estimate in estimates.items()}
    name = "new_param_reg_0_weight"
    doubled = right | {name: (2 * right[name] - arrays["param_reg_0_weight"]).astype(np.float32)}
    for outputs, wanted in ((right, "pass"), (doubled, "fail")):
        found = parity._judge_case(spec(recipe, "full", "sgd"), case, estimates, outputs, DEFAULT_POLICY)
        (verdict,) = (one for one in found if one.name == name)
        assert verdict.verdict == wanted
        assert verdict.direction is not None
        assert verdict.direction.norm_ratio == pytest.approx(1.0 if wanted == "pass" else 2.0, rel=1e-2)
