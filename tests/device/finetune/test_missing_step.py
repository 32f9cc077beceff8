"""A bundle without the step asked for: the message has a command that makes the bundle again, with the step."""

from types import SimpleNamespace

import pytest

from lossrt.device.finetune.missing_step import missing_step
from lossrt.device.finetune.options import FinetuneOptions
from lossrt.recipe import load_recipe, with_steps

ASKED = FinetuneOptions(scope="last", optimizer="adamw")


def bundle(**changes):
    graphs = {"generic_loss": SimpleNamespace(precisions=changes.pop("precisions", ("fp32",)))}
    manifest = SimpleNamespace(**{"graphs": graphs, "target": "ort", "gather": "function", **changes})
    return SimpleNamespace(source="build/mine", packed=False, manifest=manifest)


@pytest.mark.parametrize(
    ("steps", "changes", "command"),
    [
        ((), {}, "mot17 --head-step last.adamw -o build/mine"),
        (("full.sgd",), {}, "mot17 --head-step full.sgd,last.adamw -o build/mine"),
        (
            (),
            {"target": "jetpack6", "gather": "inline", "precisions": ("fp32", "fp16")},
            "mot17 --head-step last.adamw --precision fp32,fp16 --target jetpack6 --gather inline -o build/mine",
        ),
    ],
    ids=["none", "another", "as it was exported"],
)
def test_a_preset_is_exported_again(steps, changes, command):
    recipe = with_steps(load_recipe("mot17"), steps)
    assert f"run `lossrt export --recipe {command}`" in missing_step(bundle(**changes), recipe, ASKED)


def test_a_changed_preset_is_not_replaced_by_the_preset():
    said = missing_step(bundle(), load_recipe("mot17", batch=3), ASKED)
    assert "`lossrt export --recipe RECIPE.toml --head-step " in said
    assert said.endswith("where RECIPE.toml is the recipe that this bundle was made from")


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (load_recipe("fairmot"), "its identity classifier"),
        (load_recipe("mot17", num_stacks=2, finetune=None), "num_stacks = 2"),
    ],
    ids=["fairmot", "stacks"],
)
def test_no_command_where_there_is_no_step(recipe, reason):
    said = missing_step(bundle(), recipe, ASKED)
    assert f"there is no training step for recipe '{recipe.name}' because of {reason}" in said
    assert "lossrt export" not in said
