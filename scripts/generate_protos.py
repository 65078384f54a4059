"""Makes the Python code of protos/*/v1/*.proto, into the checkout or elsewhere.

    python scripts/generate_protos.py [OUTPUT_DIRECTORY]

Imports in the made code read `from protos.reception.v1 import ...`, because the
checkout is the root for protoc. A file with a service gets a `_pb2_grpc` module.
"""

from __future__ import annotations

import importlib.resources
import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def generate(output: Path) -> None:
    """Writes the modules below `output`. Raises SystemExit when protoc fails."""
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    for source in sorted((ROOT / "protos").glob("*/v1/*.proto")):
        options = [f"--python_out={output}", f"--pyi_out={output}"]
        if "\nservice " in source.read_text():
            options.append(f"--grpc_python_out={output}")
        name = str(source.relative_to(ROOT))
        status = protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *options, name])
        if status:
            raise SystemExit(f"protoc failed with {status} for {name}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
