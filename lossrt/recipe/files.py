"""TOML → recipe: the presets by name, a user's file by path."""

__all__ = ["load_recipe", "parse_recipe", "preset_names", "preset_text"]

import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lossrt.errors import InputError, nearest
from lossrt.recipe.finetune import Finetune
from lossrt.recipe.schema import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def preset_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("lossrt") / "recipes"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def preset_text(name: str) -> str:
    """Return the TOML text of the preset `name`.

    Raises:
        InputError: There is no preset of that name.
    """
    if name not in preset_names():
        raise InputError(f"recipe '{name}': no such preset or file; {nearest(name, preset_names())}")
    return (resources.files("lossrt") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(name_or_path: str, **changes: Any) -> Recipe:
    """Load a preset by name, or a TOML file by path.

    Args:
        name_or_path: A name from `preset_names()`, or the path of a file that ends in `.toml`.
        **changes: Keys to replace, for example `batch=1`.

    Raises:
        InputError: The recipe is unknown, is not TOML, or has a wrong key or value.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            meant = f"did you mean the preset '{path.stem}'? " if path.stem in preset_names() else ""
            raise InputError(f"recipe '{path}': no such file; {meant}{nearest(name_or_path, _known(path))}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"recipe '{path}': expected a readable TOML file, got: {error}") from error
    else:
        text = preset_text(name_or_path)
    return parse_recipe(text, where=name_or_path, **changes)


def _known(path: Path) -> list[str]:
    """Return the recipes that a wrong path may have meant: those in its folder, and the presets."""
    beside = [str(path.with_name(other.name)) for other in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    return [*sorted(beside)[:20], *preset_names()]


def parse_recipe(text: str, *, where: str, **changes: Any) -> Recipe:
    """Parse and check the TOML text of a recipe.

    Args:
        text: The TOML text.
        where: What messages call it: a file name or a preset.
        **changes: Keys to replace.

    Raises:
        InputError: The text is not TOML, or has a wrong key or value.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe '{where}': not valid TOML: {error}") from error
    try:
        return Recipe.model_validate({**data, **changes})
    except ValidationError as error:
        raise InputError(f"recipe '{where}': {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """Say every mistake of a recipe at once, each with its key and, for an unknown key, the nearest valid one."""
    messages = []
    for mistake in error.errors():
        key = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            known = Finetune if mistake["loc"][0] == "finetune" else Recipe
            messages.append(f"unknown key '{key}'; {nearest(str(mistake['loc'][-1]), known.model_fields)}")
        elif mistake["type"] == "missing":
            messages.append(f"key '{key}': expected, but missing")
        elif mistake["type"] == "literal_error":
            known_words = re.findall(r"'([^']*)'", str(mistake.get("ctx", {}).get("expected")))
            messages.append(
                f"key '{key}': unknown value {mistake['input']!r}; {nearest(str(mistake['input']), known_words)}"
            )
        elif not key:
            messages.append(str(mistake["msg"]).removeprefix("Value error, "))
        else:
            messages.append(f"key '{key}': {mistake['msg']}, got {mistake['input']!r}")
    return "; ".join(messages)
