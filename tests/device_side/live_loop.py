"""A live loop as a user writes one: run by the device's own Python, which knows lossrt and nothing of these tests."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lossrt.bundle import open_bundle
from lossrt.device.loss_session import LossSession


def main(path: str, bundle_id: str) -> None:
    """Compute the nominal case's losses again and again, from four threads."""
    bundle = open_bundle(Path(path), trust=(bundle_id,))
    case = next(case for case in bundle.cases("generic_loss", "fp32") if case.name == "nominal")
    with LossSession.from_bundle(bundle) as losses, ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: losses(case.input)["loss"].tobytes(), range(400)))
    expected = float(case.oracle["loss"])
    [got] = {bytes(result) for result in results}
    [value] = memoryview(got).cast("f")
    if abs(value - expected) > 1e-5 * abs(expected):
        raise SystemExit(f"loss: expected {expected}, got {value}")
    print(f"{len(results)} calls from 4 threads, all the same: {value:.6g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
