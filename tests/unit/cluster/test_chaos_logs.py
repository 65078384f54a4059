"""What is kept of the logs of a try."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.chaos import logs as module
from cluster.chaos.logs import Logs


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A cluster's folder, as Ray and our processes fill it."""
    folder = tmp_path / "c"
    ray = folder / "ray/session_1/logs"
    (ray / "events").mkdir(parents=True)
    (ray / "worker-1.err").write_text("old\n")
    (ray / "monitor.log").write_text("m\n")
    (ray / "events/event_GCS.log").write_text("e\n")
    (folder / "node1.err").write_text("n\n")
    (folder / "reception.db").write_text("money")
    (folder / "rec-1/gcs").mkdir(parents=True)
    (folder / "rec-1/gcs/000004.log").write_text("rocks")
    (folder / "postgresql").mkdir()
    (folder / "postgresql/postgres.log").write_text("p\n")
    (folder / "ray/session_latest").symlink_to(folder / "ray/session_1")
    return folder


def _kept(folder: Path) -> dict[str, str]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_text() for each in files}


def test_all_logs_of_a_cluster_are_kept_and_nothing_else(cluster: Path, tmp_path: Path) -> None:
    assert Logs(cluster).keep(tmp_path / "k") == tmp_path / "k"
    assert _kept(tmp_path / "k") == {
        "worker-1.err": "old\n", "monitor.log": "m\n", "events/event_GCS.log": "e\n",
        "node1.err": "n\n", "postgres.log": "p\n",
    }  # fmt: skip


def test_what_was_there_before_the_try_is_left_out(cluster: Path, tmp_path: Path) -> None:
    kept = Logs(cluster)
    kept.begin()
    with (cluster / "ray/session_1/logs/worker-1.err").open("a") as file:
        file.write("new\n")
    (cluster / "node2.err").write_text("came up\n")
    (cluster / "node1.err").write_text("")  # begun anew, with nothing in it
    kept.keep(tmp_path / "k")
    assert _kept(tmp_path / "k") == {"worker-1.err": "new\n", "node2.err": "came up\n"}


def test_of_a_file_the_end_and_of_many_the_first_ones(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_FILE_BYTES", 4_000)
    monkeypatch.setattr(module, "MOST_BYTES", 6_500)
    (cluster / "node1.err").write_text("a" * 5_000 + "b" * 4_000)
    ray = cluster / "ray/session_1/logs"
    (ray / "worker-1.err").write_text("c" * 2_000)
    (ray / "dashboard.log").write_text("d" * 2_000)  # 500 are left: too few to tell anything
    (ray / "monitor.log").write_text("e" * 400)
    (ray / "events/event_GCS.log").unlink()
    (cluster / "postgresql/postgres.log").unlink()
    Logs(cluster).keep(tmp_path / "k")
    assert _kept(tmp_path / "k") == {
        "node1.err": "b" * 4_000, "worker-1.err": "c" * 2_000, "monitor.log": "e" * 400,
    }  # fmt: skip


def test_without_logs_nothing_is_made(tmp_path: Path) -> None:
    Logs(tmp_path / "none").keep(tmp_path / "k")
    assert not (tmp_path / "k").exists()
