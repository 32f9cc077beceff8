"""A recipe: which heads a network has, how their losses are weighted, and the sizes they come in.

Recipes are TOML files. The presets lie in `lossrt/recipes/`; a user copies one and changes it.
"""

__all__ = [
    "ALTERNATIVES",
    "HEADS",
    "JOINTS",
    "STEPS",
    "Activation",
    "Family",
    "Finetune",
    "Head",
    "LossKind",
    "Recipe",
    "StepKind",
    "StepOptimizer",
    "StepScope",
    "load_recipe",
    "parse_recipe",
    "prediction_name",
    "preset_names",
    "preset_text",
    "with_steps",
]

from lossrt.recipe.files import load_recipe, parse_recipe, preset_names, preset_text
from lossrt.recipe.finetune import STEPS, Finetune, StepKind, StepOptimizer, StepScope
from lossrt.recipe.heads import ALTERNATIVES, HEADS, JOINTS, Activation, Family, Head, LossKind, prediction_name
from lossrt.recipe.schema import Recipe, with_steps
