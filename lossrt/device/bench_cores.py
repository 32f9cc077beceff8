"""Keep a run on chosen cores, so that the scheduler does not move it while it is timed."""

__all__ = ["pin"]

import os

from lossrt.errors import BackendError, InputError


def pin(cores: str) -> tuple[int, ...]:
    """Bind this process, and the threads that it starts from now on, to cores.

    Args:
        cores: Numbers separated by commas, such as `2,3`.

    Returns:
        The cores, in order.

    Raises:
        InputError: It is no list of numbers, or names a core that this process may not use.
        BackendError: The operating system cannot bind a process to cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise BackendError("--pin: this operating system cannot bind a process to cores; leave it out")
    allowed = sorted(os.sched_getaffinity(0))
    parts = [part.strip() for part in cores.split(",")]
    if not all(part.isdigit() for part in parts):
        raise InputError(f"--pin {cores}: expected numbers of cores separated by commas, such as --pin {allowed[0]}")
    wanted = sorted({int(part) for part in parts})
    if unknown := [core for core in wanted if core not in allowed]:
        raise InputError(
            f"--pin {cores}: expected cores that this process may use ({', '.join(map(str, allowed))}), got {unknown[0]}"
        )
    os.sched_setaffinity(0, wanted)
    return tuple(wanted)
