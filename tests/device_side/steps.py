"""What a device is asked to do: one line a command. A new verb is a new line."""

__all__ = ["STEPS", "Step"]

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        line: What follows `lossrt`; `{bundle}`, `{packed}`, `{id}`, `{network}`, `{deformable}`, `{sequence}`, `{real}`,
            `{scripts}` and `{out}` stand for paths (`{id}` for the bundle's). A step with `{real}` waits for real frames.
        says: Words that its output has to contain.
        code: Exit code that is right.
        program: `lossrt`, or `python` for a script of this folder.
    """

    line: str
    says: str = ""
    code: int = 0
    program: str = "lossrt"

    def words(self, places: dict[str, str]) -> list[str]:
        """Return the command's words with the paths in their places."""
        return [word.format_map(places) for word in shlex.split(self.line)]


# ONNX Runtime 1.23, the newest for Python 3.10, runs no DeformConv: that network is attached and split, not run.
STEPS = (
    Step("doctor", says="lossrt export; nothing else needs it"),
    Step("recipes names", says="mot17"),
    Step("validate {bundle} -o {out}/folder", says=" 0 fail"),
    Step("report {bundle} -o {out}/none", code=2),
    Step("report {out}/folder/report.json", says=" 0 fail"),
    Step("validate {packed} --out {out}/packed --trust {id}", says=" 0 fail"),
    Step("report {packed} --out {out}/packed", says=" 0 fail"),
    Step("report {out}/folder/report.json {out}/packed/report.json"),
    Step("pack {bundle} -o {out}/again.lossrt", says="{id}"),
    Step("validate {packed} --out {out}/other --trust " + 64 * "0", says="{id}", code=2),
    Step("validate {packed}", says="pass --out DIR", code=2),
    Step("lint {bundle}/graphs/generic_loss.fp32.onnx --target jetpack6"),
    Step("bench {packed} --iterations 5 --warm-up 1", says="upstream"),
    Step("search {packed} --graph fast_focal --iterations 5", says="PASS fast_focal"),
    Step("bisect {packed} --graph generic_loss --model {bundle}/graphs/generic_loss.fp32.onnx", says="no node differs"),
    Step("precision {bundle}/graphs/generic_loss.fp32.onnx --bundle {packed}", says="findings"),
    Step("build {bundle} --trtexec", says="--stronglyTyped"),
    Step("cost {packed}", says="tensorrt", code=3),
    Step("export mot17 -o {out}/exported", says="pip install 'lossrt[export]'", code=3),
    Step("evaluate {packed} --annotations {sequence} --generate 12 -o {out}/made.jsonl", says="12 frames"),
    Step("evaluate {packed} --annotations {sequence} --generate 12 -o {out}/made.jsonl --resume", says="12 frames"),
    Step("evaluate {packed} --annotations {real} --generate 600 -o {out}/real.jsonl", says=" frames/s"),
    Step(
        "evaluate {packed} --model {network} --frames {sequence} --annotations {sequence} -o {out}/network.jsonl",
        says="12 frames",
    ),
    Step("attach {network} --bundle {packed} -o {out}/attached.onnx", says="outputs added: loss"),
    Step("attach {deformable} --bundle {packed} -o {out}/deformable.onnx", says="outputs added: loss"),
    Step("doctor {out}/attached.onnx", says="on ort: every node is taken"),
    Step("split {deformable} -o {out}/split", says="heads.safetensors"),
    Step("merge {deformable} --heads {out}/split/heads.safetensors -o {out}/merged.onnx", says="tensors changed"),
    Step(
        "finetune {network} --bundle {packed} --annotations {sequence} --frames {sequence} --epochs 2 --batch 2 "
        "-o {out}/tuned.onnx",
        says="10 steps in 2 epochs",
    ),
    Step("{scripts}/live_loop.py {packed} {id}", says="400 calls from 4 threads, all the same", program="python"),
)
