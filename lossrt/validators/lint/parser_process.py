"""The process that asks TensorRT for RTX's parser: `python -m lossrt.validators.lint.parser_process FILES ANSWERS`.

A process of its own, because the parser aborts on some nodes. FILES holds paths as a JSON list; for each, a line with its
number goes to ANSWERS before it is parsed, and a line with the answer after: what is missing tells where it died.
"""

__all__ = ["main"]

import io
import json
import sys
from pathlib import Path
from typing import Any

from lossrt.errors import BackendError
from lossrt.runtime.adapter import collecting_logger, import_module


def main(files: Path, answers: Path) -> None:
    """Parse every file, and write what the parser says."""
    paths: list[str] = json.loads(files.read_text(encoding="utf-8"))
    with answers.open("w", encoding="utf-8", buffering=1) as out:
        try:
            trt = import_module("rtx")
        except BackendError as error:
            out.write(json.dumps({"missing": str(error)}) + "\n")
            return
        logger = collecting_logger(trt, io.StringIO())
        builder = trt.Builder(logger)
        for number, path in enumerate(paths):
            out.write(json.dumps({"started": number}) + "\n")
            out.write(
                json.dumps({"answered": number, "version": trt.__version__, **_parse(trt, builder, logger, path)})
                + "\n"
            )


def _parse(trt: Any, builder: Any, logger: Any, path: str) -> dict[str, object]:
    logger.errors.clear()
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    accepted = bool(parser.parse_from_file(path))
    errors = [parser.get_error(number) for number in range(parser.num_errors)]
    reasons = [[error.node_name(), error.node_operator(), error.desc()] for error in errors]
    return {"accepted": accepted, "reasons": reasons or [["", "", text] for text in logger.errors[:1]]}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
