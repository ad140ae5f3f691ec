"""Generate the Python code of the protocol, or check that what is checked in is what would be made.

    python protos/generate.py            write *_pb2.py, *_pb2.pyi, *_pb2_grpc.py, *_pb2_grpc.pyi
    python protos/generate.py --check    exit 1 and name the files that differ

Runs in an environment with `protos/requirements-generate.txt` installed (`make proto`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "src"
PACKAGE = Path("keycensus_proto/v1")


def generate(output: Path, *, quiet: bool = False) -> None:
    """Write the generated modules below `output`; raises CalledProcessError if protoc refuses."""
    protos = sorted(str(path.relative_to(SOURCES)) for path in (SOURCES / PACKAGE).glob("*.proto"))
    binaries = Path(sys.executable).parent
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={SOURCES}",
            f"--plugin=protoc-gen-mypy={binaries / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={binaries / 'protoc-gen-mypy_grpc'}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out={output}",
            f"--mypy_grpc_out={output}",
            *protos,
        ],
        check=True,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    for path in (output / PACKAGE).glob("*_pb2_grpc.py"):
        if "class " not in path.read_text():
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)
    for path in (output / PACKAGE).glob("*_pb2_grpc.pyi"):
        if not path.with_suffix(".py").exists():
            path.unlink()


def differences(fresh: Path) -> list[str]:
    """Names of generated files that are missing, stale or different in the checkout."""
    made = {path.name: path.read_bytes() for path in (fresh / PACKAGE).glob("*_pb2*")}
    kept = {path.name: path.read_bytes() for path in (SOURCES / PACKAGE).glob("*_pb2*")}
    return sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    if not arguments.check:
        generate(SOURCES)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), quiet=True)
        different = differences(Path(scratch))
    for name in different:
        print(f"{name}: differs from what protos/generate.py makes; run 'make proto'")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
