"""One caller's place in a session: arrays bound before stay bound, and outputs are allocated once."""

__all__ = ["Lane"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.call_plan import Checked, Plan
from lossrt.errors import InputError
from lossrt.runtime.binding import Binding
from lossrt.runtime.device_array import Value, as_value


class Lane:
    """A binding, and what is bound to it.

    Args:
        binding: The binding; this lane's own.
        outputs: Names of the outputs.
    """

    def __init__(self, binding: Binding, outputs: Sequence[str]) -> None:
        self._binding, self._outputs = binding, tuple(outputs)
        self._targets: dict[str, Any] = dict.fromkeys(outputs)
        self._plan: Plan | None = None
        self._own: dict[str, NDArray[Any]] = {}
        self._lent = False  # an array of the caller's is bound

    def run(self, checked: Checked, out: Mapping[str, Any] | None) -> dict[str, Any]:
        """Run on checked arrays.

        Args:
            checked: The inputs.
            out: Where results are to be written, by output; the others are copied out of the lane's own arrays.

        Raises:
            InputError: An array in `out` does not fit.
            BackendError: The graph fails.
        """
        self._binding.feed(checked.values)
        if out or self._lent or checked.plan is not self._plan:
            self._aim(checked.plan, out or {})
        self._binding.run()
        if not out:
            return {name: array.copy() for name, array in self._own.items()}
        return {name: out[name] if name in out else self._own[name].copy() for name in self._outputs}

    def _aim(self, plan: Plan, out: Mapping[str, Any]) -> None:
        self._lent = bool(out)
        if plan is not self._plan:
            self._own, self._plan = plan.new_outputs(), plan
        for name in self._outputs:
            target = out.get(name, self._own[name])
            # What another library owns may have moved.
            if target is not self._targets[name] or type(target) is not np.ndarray:
                self._binding.result(name, _fitting(name, target, plan))
                self._targets[name] = target
        if unknown := out.keys() - set(self._outputs):
            raise InputError(f"out: '{min(unknown)}': no such output; valid: {', '.join(self._outputs)}")


def _fitting(name: str, target: Any, plan: Plan) -> Value:
    value = as_value(target, name=name)
    shape, dtype = plan.outputs[name]
    laid_out = not isinstance(value, np.ndarray) or (value.flags.c_contiguous and value.flags.writeable)
    if value.shape != shape or value.dtype != dtype or not laid_out:
        lacking = "" if laid_out else f"a {_lacking(value)} "
        raise InputError(
            f"out: '{name}': expected a contiguous, writable {dtype.name}{list(shape)}, got {lacking}"
            f"{value.dtype.name}{list(value.shape)}; `outputs(...)` makes them"
        )
    return value


def _lacking(value: Any) -> str:
    return "read-only" if value.flags.c_contiguous else "not contiguous"
