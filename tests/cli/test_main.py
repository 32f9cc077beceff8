import os
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import sys

missing = sys.argv[1]

class Without:
    def find_spec(self, name, path, target=None):
        if name == missing:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Without())
from lossrt.cli.main import main
sys.argv[1:] = ["export", "mot17", "-o", sys.argv[2]]
main()
"""


@pytest.mark.parametrize("module", ["torch", "onnxscript", "jaxtyping"])
def test_a_verb_of_the_torch_side_says_what_is_missing(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, module, str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 3, done.stderr
    expected = f"lossrt: error: this verb needs {module}, which is not installed; run `pip install 'lossrt[export]'`"
    assert done.stderr.strip() == expected


def test_ctrl_c_ends_with_130_and_says_so(run, monkeypatch) -> None:
    def interrupted(*_words) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lossrt.cli.console.say", interrupted)
    code, out, err = run("recipes")
    assert (code, out) == (130, "")
    assert err.strip() == "lossrt: error: interrupted; what was there before is still whole"
