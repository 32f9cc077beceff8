"""Dump the public names of a TensorRT binding: `python tests/api/dump.py DISTRIBUTION > tests/api/NAME.json`.

The binding wheels import without TensorRT's libraries if something of their names is found: stubs are compiled that
define the functions which the binding asks for, and the script starts itself again where the loader sees them. Nothing of
TensorRT runs; the names are all there is. How the committed dumps were made, each in a virtual environment of its own
(with numpy, and gcc, nm and readelf on the path):

    tensorrt-8.6.json      Python 3.10   pip install --no-deps tensorrt-bindings==8.6.1
    tensorrt-10.3.json     Python 3.10   pip install --no-deps tensorrt-cu12-bindings==10.3.0
    tensorrt-10.13.json    Python 3.12   pip install --no-deps tensorrt-cu12-bindings==10.13.0.35
    tensorrt-11.4.json     Python 3.12   pip install --no-deps tensorrt-cu13-bindings==11.4.0.106
    tensorrt-rtx-1.7.json  Python 3.11   pip install tensorrt-rtx==1.7.1.116, with --no-stubs
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODULES = {"tensorrt-rtx": "tensorrt_rtx"}
_MARK = "LOSSRT_API_STUBS"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("distribution", help="name of the wheel, for example tensorrt-cu12-bindings")
    parser.add_argument("--no-stubs", action="store_true", help="the libraries are installed")
    asked = parser.parse_args()
    module = MODULES.get(asked.distribution, "tensorrt_bindings")
    if not asked.no_stubs and _MARK not in os.environ:
        run_again_with_stubs(module)
    names = public_names(importlib.import_module(module))
    head = {"wheel": asked.distribution, "version": importlib.metadata.version(asked.distribution)}
    lines = [f"{json.dumps(name)}: {json.dumps(members)}" for name, members in sorted(names.items())]
    sys.stdout.write(json.dumps(head)[:-1] + ', "names": {\n' + ",\n".join(lines) + "\n}}\n")


def public_names(module: object) -> dict[str, list[str] | None]:
    """Return the public members of every public class of a module, classes inside classes too; None for what is none."""
    found: dict[str, list[str] | None] = {}
    waiting = [(name, getattr(module, name)) for name in dir(module) if not name.startswith("_")]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, type(sys)):
            continue
        members = sorted(member for member in dir(value) if not member.startswith("_"))
        found[name] = members if isinstance(value, type) else None
        if isinstance(value, type):
            inner = ((member, value.__dict__.get(member)) for member in members)
            waiting += [(f"{name}.{member}", entry) for member, entry in inner if isinstance(entry, type)]
    return found


def run_again_with_stubs(module: str) -> None:
    """Compile the stubs and start this script again where the loader finds them."""
    package = importlib.util.find_spec(module)
    if package is None or package.origin is None:
        sys.exit(f"{module} is not installed")
    (binding,) = Path(package.origin).parent.glob("tensorrt*.so")
    with tempfile.TemporaryDirectory(prefix="lossrt-stubs-") as folder:
        compile_stubs(binding, Path(folder))
        environment = os.environ | {"LD_LIBRARY_PATH": folder, _MARK: "1"}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)


def compile_stubs(binding: Path, folder: Path) -> None:
    """Compile libraries of the names that a binding needs, with the functions that it asks for, all empty."""
    dynamic = subprocess.run(["readelf", "-d", binding], capture_output=True, text=True, check=True).stdout
    needed = [line.partition("[")[2].partition("]")[0] for line in dynamic.splitlines() if "NEEDED" in line]
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", binding], capture_output=True, text=True, check=True
    ).stdout
    asked = [line.split()[1] for line in symbols.splitlines() if line.split()[0] == "U" and "@" not in line]
    functions = [name for name in asked if not name.startswith(("Py", "_Py", "dl"))]
    source = folder / "stubs.c"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in functions))
    for library in needed:
        if library.startswith("libnv"):
            command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", str(folder / library), str(source)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
