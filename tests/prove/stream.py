"""`lossrt evaluate` on 2,000 recorded frames: `python -m tests.prove.stream [BUNDLE]`.

Frames are generated and written to files first, which is not timed. Then: memory while it runs, frames a second with
reading and encoding, and ten runs killed at random and resumed, whose output must be the uninterrupted one's to the byte.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from safetensors.numpy import save_file

from lossrt.device.evaluate.plan import planned_frames
from lossrt.device.evaluate.sources import GeneratedHeads
from lossrt.recipe import Recipe
from lossrt.targets.annotations import FrameSequence
from lossrt.targets.scenes import generated_scene
from tests.prove.exported import given_or_exported

LEAST_FRAMES_PER_S = 100
MOST_GROWTH_MB = 20
KILLS = 10


def write_sequence(sequence: FrameSequence, folder: Path) -> Path:
    """Write annotated frames in MOTChallenge's layout."""
    (folder / "gt").mkdir(parents=True)
    rows = [
        f"{frame.index},{track},{left!r},{top!r},{right - left!r},{bottom - top!r},1,1,1.0"
        for frame in sequence.frames
        for track, (left, top, right, bottom) in zip(frame.track_ids.tolist(), frame.boxes.tolist(), strict=True)
    ]
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    first = sequence.frames[0]
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={sequence.name}\nseqLength={len(sequence.frames)}\nimWidth={first.width}\nimHeight={first.height}\n"
    )
    return folder


def write_recording(recipe: Recipe, folder: Path, *, frames: int) -> list[str]:
    """Write annotations and heads; return the words that `lossrt evaluate` takes for them."""
    sequence = generated_scene(recipe, frames=frames, seed=0)
    annotations = write_sequence(sequence, folder / "annotations")
    (folder / "heads").mkdir()
    source = GeneratedHeads(planned_frames([sequence]), recipe, seed=0)
    for number, heads in enumerate(source.images(0), start=1):
        save_file(heads, folder / "heads" / f"{number:06d}.safetensors")
    return ["--heads", str(folder / "heads"), "--annotations", str(annotations)]


def command(bundle: Path, words: Sequence[str], out: Path) -> list[str]:
    """The command line of one run."""
    start = [sys.executable, "-c", "from lossrt.cli.main import main; main()", "evaluate", str(bundle)]
    return [*start, *words, "-o", str(out), "--resume", "--json"]


def lines(path: Path) -> int:
    """Count whole lines."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def memory_mb(process: int) -> float:
    """Memory of a process that is its own, MB."""
    text = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def watched(words: Sequence[str], out: Path, *, frames: int) -> tuple[list[float], float]:
    """Run to the end; return memory at each tenth of the frames, MB, and frames a second of the evaluation."""
    seen: list[float] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            if lines(out) > (len(seen) + 1) * frames / 10 and len(seen) < 9:
                seen.append(memory_mb(process.pid))
            time.sleep(0.01)
        assert process.returncode == 0
        assert process.stdout is not None
        return seen, json.loads(process.stdout.read())["frames_per_s"]


def killed(words: Sequence[str], out: Path, *, kills: int, frames: int, chance: random.Random) -> int:
    """Kill runs after a random number of further lines, then let one finish; return how many were killed."""
    done = 0
    for _ in range(kills):
        goal = lines(out) + chance.randint(1, max(2, 2 * frames // (kills + 1)))
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and lines(out) < goal:
            time.sleep(chance.uniform(0, 0.004))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done += 1
        process.wait()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="mot17, exported for it, without it")
    parser.add_argument("--frames", type=int, default=2000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = given_or_exported(chosen.bundle, folder)
        recipe = bundle.manifest.recipe
        assert recipe is not None
        words = write_recording(recipe, folder, frames=chosen.frames)
        whole, parts = folder / "whole.jsonl", folder / "parts.jsonl"
        memory, rate = watched(command(bundle.root, words, whole), whole, frames=chosen.frames)
        print(
            f"{chosen.frames} frames at {recipe.map_size}: {rate:.0f} frames/s with reading and encoding (at least {LEAST_FRAMES_PER_S})"
        )
        print("memory at each tenth, MB: " + " ".join(f"{value:.0f}" for value in memory))
        kills = killed(
            command(bundle.root, words, parts), parts, kills=KILLS, frames=chosen.frames, chance=random.Random(0)
        )
        same = whole.read_bytes() == parts.read_bytes()
        print(f"killed {kills} times at random and resumed: output {'equal to the byte' if same else 'DIFFERS'}")
    steady = max(memory) - min(memory) <= MOST_GROWTH_MB
    return int(not (same and steady and rate >= LEAST_FRAMES_PER_S))


if __name__ == "__main__":
    sys.exit(main())
