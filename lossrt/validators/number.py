"""Numbers in JSON, which lacks NaN and the infinities: those are the strings "nan", "inf" and "-inf"."""

__all__ = ["Number"]

import math
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_SPELLED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _number(value: object) -> object:
    return _SPELLED.get(value, value) if isinstance(value, str) else value


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


Number = Annotated[float, BeforeValidator(_number), PlainSerializer(_json_number, when_used="json")]
"""A float that may be anything, to and from JSON."""
