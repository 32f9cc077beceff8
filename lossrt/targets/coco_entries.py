"""The tables of a COCO-style JSON file, and the checks that name an entry where something is wrong with it."""

__all__ = ["Entry", "read_tables"]

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossrt.errors import InputError, StorageError

LARGEST_NUMBER = 1e12
LARGEST_WHOLE = 2**53  # beyond it JSON's numbers are not whole everywhere
TABLES = {"images": "image", "categories": "category", "annotations": "annotation", "videos": "video"}
OPTIONAL_TABLES = ("videos",)


@dataclass(frozen=True, slots=True)
class Entry:
    """One image, category, annotation or video.

    Attributes:
        path: The file.
        kind: What it is, for messages.
        position: Its place in its table, from 0.
        values: What the file says of it.
    """

    path: Path
    kind: str
    position: int
    values: dict[str, Any]

    def refuse(self, key: str, expected: str, got: object = None) -> InputError:
        """Return the error for a value that cannot be used; `got` replaces what the file says."""
        number = self.values.get("id")
        known = isinstance(number, int) and key != "id"  # an id in question names nothing
        title = f"{self.kind} {number}" if known else f"{self.kind} at position {self.position}"
        shown = "nothing" if key not in self.values else repr(self.values[key])[:120]
        return InputError(
            f"'{self.path}' {title}: {key}: expected {expected}, got {shown if got is None else got}; "
            f"fix or remove the {self.kind}"
        )

    def has(self, key: str) -> bool:
        """Return whether the entry says anything under the key; null says nothing."""
        return self.values.get(key) is not None

    def whole(self, key: str, *, least: int = -LARGEST_WHOLE, most: int = LARGEST_WHOLE) -> int:
        """Return a whole number.

        Raises:
            InputError: It is missing, not whole, or outside [least, most].
        """
        value = self.values.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            bounds = (
                "" if least == -LARGEST_WHOLE else f" in {least}..{most}" if most < LARGEST_WHOLE else f" >= {least}"
            )
            raise self.refuse(key, f"a whole number{bounds}")
        return value

    def numbers(self, key: str, *meanings: str, gaps: bool = False) -> list[float]:
        """Return a list of numbers.

        Args:
            key: Where they are.
            *meanings: What each is.
            gaps: Accept NaN.

        Raises:
            InputError: They are missing, more or fewer, or not finite.
        """
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != len(meanings) or not _are_numbers(value, gaps=gaps):
            kind = "numbers, NaN where unknown" if gaps else "finite numbers"
            many = len(meanings) > 4
            raise self.refuse(key, f"{len(meanings)} {kind}" if many else f"[{', '.join(meanings)}], {kind}")
        return list(map(float, value))

    def number(self, key: str) -> float:
        """Return a number.

        Raises:
            InputError: It is missing or not finite.
        """
        value = self.values.get(key)
        if not isinstance(value, int | float) or not _are_numbers([value]):
            raise self.refuse(key, "a finite number")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return whether a flag is set: 0, false, and nothing at all mean that it is not.

        Raises:
            InputError: It is neither 0 nor 1.
        """
        value = self.values.get(key)
        if value not in (None, 0, 1):
            raise self.refuse(key, "0 or 1")
        return bool(value)


def read_tables(path: Path) -> dict[str, list[Entry]]:
    """Read the file's tables: images, categories, annotations, videos; no id twice in any.

    Raises:
        InputError: It is not JSON, or lacks a table, or a table holds something else than entries with ids of their own.
        StorageError: It cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"'{path}': cannot be read: {error}; check its permissions") from error
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}': expected a JSON file, got one that is no text; give the annotations") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}': expected a JSON file, got: {error}; write or download it again") from error
    if not isinstance(content, dict):
        raise InputError(f"'{path}': expected an object with {', '.join(TABLES)}, got {type(content).__name__}")
    return {name: _table(path, content, name) for name in TABLES}


def _table(path: Path, content: dict[str, Any], name: str) -> list[Entry]:
    rows = content.get(name, [] if name in OPTIONAL_TABLES else None)
    if not isinstance(rows, list):
        present = ", ".join(map(str, content)) or "nothing"
        raise InputError(f"'{path}': {name}: expected a list, got {type(rows).__name__}; present: {present}; add it")
    entries = []
    first: dict[int, int] = {}
    for position, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(
                f"'{path}' {TABLES[name]} at position {position}: expected an object, got {repr(row)[:120]}; remove it"
            )
        entry = Entry(path, TABLES[name], position, row)
        number = entry.whole("id")
        if first.setdefault(number, position) != position:
            raise entry.refuse("id", f"an id of its own (the one at position {first[number]} has it already)")
        entries.append(entry)
    return entries


def _are_numbers(values: list[Any], *, gaps: bool = False) -> bool:
    """Say whether all are numbers of a sensible size, or NaN where `gaps` are allowed; true and false are none."""
    if not set(map(type, values)) <= {int, float}:
        return False
    # NaN differs from itself; math.isnan and math.isfinite fail on whole numbers past float's range.
    known = [value for value in values if value == value] if gaps else values
    return max(map(abs, known), default=0) <= LARGEST_NUMBER and all(map(math.isfinite, known))
