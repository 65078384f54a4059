"""The checkout as a project: package names, locked dependencies, generated code."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from scripts.generate_protos import generate

ROOT = Path(__file__).resolve().parents[2]
OURS = {"actors", "cluster", "protos", "voice", "reception"}
LOCKS = ("requirements/dev.txt", "requirements/run.txt")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(lock: str) -> dict[str, str]:
    """Pinned version of every package of a lock file."""
    lines = (ROOT / lock).read_text().splitlines()
    pins = (re.match(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines)
    return {_canonical(pin[1]): pin[2] for pin in pins if pin}


def _declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return {_canonical(re.split(r"[\[<>=;~! ]", line)[0]) for line in wanted}


def _top_level(distribution: metadata.Distribution) -> set[str]:
    return {Path(file).parts[0].removesuffix(".py") for file in distribution.files or ()}


def test_no_locked_dependency_installs_a_package_of_our_names() -> None:
    looked_at = 0
    for name in _locked(LOCKS[0]):
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform or Python version
        looked_at += 1
        assert not _top_level(distribution) & OURS, name
    assert looked_at > 100


@pytest.mark.parametrize(
    ("lock", "extras"), [(LOCKS[0], ("embedded", "dev")), (LOCKS[1], ("embedded",))]
)
def test_every_declared_dependency_is_locked(lock: str, extras: tuple[str, ...]) -> None:
    assert _declared(*extras) <= set(_locked(lock))


def test_both_locks_agree() -> None:
    everything, deployed = _locked(LOCKS[0]), _locked(LOCKS[1])
    assert deployed.items() <= everything.items()
    assert "pytest" not in deployed


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_have_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_every_dependency_has_a_line_in_the_docs() -> None:
    text = (ROOT / "docs/dependencies.md").read_text().lower()
    missing = {name for name in _declared("embedded", "dev") if f"| `{name}" not in text}
    assert not missing


def test_committed_protobuf_code_is_what_the_protos_make(tmp_path: Path) -> None:
    generate(tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*_pb2*.py*")}
    committed = {path.relative_to(ROOT) for path in (ROOT / "protos").rglob("*_pb2*.py*")}
    assert set(made) == {path for path in committed if "__pycache__" not in path.parts}
    for path, code in made.items():
        assert (ROOT / path).read_bytes() == code, f"{path} is stale: run make proto"
