"""`lossrt`: the verbs, and how each failure ends."""

__all__ = ["app", "main"]

import errno
import sys
import traceback

import typer

from lossrt.cli import (
    attach,
    bench,
    bisect,
    build,
    cost,
    doctor,
    evaluate,
    export,
    finetune,
    lint,
    merge,
    pack,
    precision,
    recipes,
    report,
    search,
    split,
    validate,
)
from lossrt.cli.interruption import INTERRUPTED, Terminated, ending_in_order
from lossrt.errors import BackendError, LossrtError

app = typer.Typer(
    name="lossrt",
    help="Training losses of trackers as ONNX graphs and TensorRT engines, proved numerically against PyTorch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("export")(export.export)
app.command("build")(build.build)
app.command("validate")(validate.validate)
app.command("report")(report.report)
app.command("lint")(lint.lint)
app.command("attach")(attach.attach)
app.command("evaluate")(evaluate.evaluate)
app.command("bench")(bench.bench)
app.command("cost")(cost.cost)
app.command("doctor")(doctor.doctor)
app.command("bisect")(bisect.bisect)
app.command("search")(search.search)
app.command("precision")(precision.precision)
app.command("finetune")(finetune.finetune)
app.command("split")(split.split)
app.command("merge")(merge.merge)
app.command("pack")(pack.pack)
app.command("recipes")(recipes.recipes)

TORCH_SIDE = ("torch", "onnxscript", "jaxtyping")
BUG = 70
STORAGE = 74
BROKEN_OFF = "interrupted; what was there before is still whole"


def main() -> None:
    """Run the command line. Exit codes: 0, 1 (a verdict failed), 2, 3, 70, 74, 130, 143, as the README lists them."""
    try:
        with ending_in_order():
            app()
    except LossrtError as error:
        _say(f"{type(error).__name__}: {error}" if error.exit_code == BUG else str(error))
        sys.exit(error.exit_code)
    except SystemExit as left:
        if _broken_off(left) or isinstance(left, Terminated):
            _say(BROKEN_OFF)
        raise
    except KeyboardInterrupt:
        _say(BROKEN_OFF)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        full = "; free space and run it again" if error.errno == errno.ENOSPC else ""
        _say(f"{error.filename or 'storage'}: {error.strerror or error}{full}")
        sys.exit(STORAGE)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in TORCH_SIDE:
            _say(f"this verb needs {error.name}, which is not installed; run `pip install 'lossrt[export]'`")
            sys.exit(BackendError.exit_code)
        traceback.print_exc()
        _say("this is a bug of lossrt: please report it to its issue tracker, with the lines above and the command")
        sys.exit(BUG)


def _broken_off(left: SystemExit) -> bool:
    """Say whether typer made this of Ctrl-C: it leaves with 130 and says nothing."""
    return left.code == INTERRUPTED and isinstance(getattr(left.__context__, "__cause__", None), KeyboardInterrupt)


def _say(message: str) -> None:
    print(f"lossrt: error: {message}", file=sys.stderr)
