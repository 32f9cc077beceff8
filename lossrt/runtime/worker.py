"""The process that compiles one engine: `python -m lossrt.runtime.worker FOLDER`.

A process of its own, because the parser can abort on a node it dislikes, and because polygraphy chooses its compiler from
the environment. It reads `job.json` and `model.onnx`, and writes `build.log`, `progress`, `engine` and `outcome.json`
into the same folder.
"""

__all__ = ["main"]

import sys
from pathlib import Path

from lossrt.errors import LossrtError
from lossrt.runtime.adapter import build_engine_bytes
from lossrt.runtime.job import CompileJob, CompileOutcome


def main(folder: Path) -> None:
    """Do the job that lies in `folder`."""
    job = CompileJob.model_validate_json((folder / "job.json").read_bytes())
    with (
        (folder / "build.log").open("w", encoding="utf-8", errors="backslashreplace", buffering=1) as log,
        (folder / "progress").open("w", encoding="utf-8", errors="backslashreplace", buffering=1) as progress,
    ):
        try:
            model = (folder / "model.onnx").read_bytes()
            engine, outcome = build_engine_bytes(job, model, log, progress=progress)
            (folder / "engine").write_bytes(engine)
        except LossrtError as error:
            outcome = CompileOutcome(error=str(error))
    (folder / "outcome.json").write_text(outcome.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
