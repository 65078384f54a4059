"""A node does not start where a model that a profile names has no price."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actors.cost import CostController
from actors.settings import Settings, load_settings
from cluster import bringup, doctor
from cluster.models import check_models
from reception.errors import InvalidRequest

EXAMPLE = Path("config/receptionist.yaml")


def settings(folder: Path, cheaper_model: str) -> Settings:
    raw = yaml.safe_load(EXAMPLE.read_text())
    [(name, example)] = raw["profiles"].items()
    raw["profiles"][name] = example | {"cheaper_model": cheaper_model}
    path = folder / "receptionist.yaml"
    path.write_text(yaml.safe_dump(raw))
    url = f"sqlite:///{folder}/reception.db"
    return load_settings(receptionist_path=path, database_url=url)


def test_a_node_with_a_model_without_a_price_does_not_start(tmp_path: Path) -> None:
    made = settings(tmp_path, "gpt-9-mini")
    with pytest.raises(InvalidRequest, match=r"cheaper_model: model 'gpt-9-mini' has no price"):
        bringup.start(bringup.ServeOptions(), made)
    finding = doctor.prices(made)
    assert (finding.state, "'gpt-9-mini' has no price" in finding.detail) == ("fault", True)


async def test_a_price_that_was_set_since_counts(tmp_path: Path) -> None:
    made = settings(tmp_path, "gpt-9-mini")
    table = yaml.safe_load(made.prices_path.read_text())
    table["models"]["gpt-9-mini"] = table["models"]["gpt-realtime-2.1-mini"]
    cost = CostController(made)
    await cost.set_prices(yaml.safe_dump(table | {"version": "2026-12-01"}), "anna")
    cost.close()
    check_models(made)
    assert doctor.prices(made).state == "ok"


def test_without_a_database_the_file_counts(tmp_path: Path) -> None:
    check_models(settings(tmp_path, "gpt-realtime-2.1-mini"))
    made = settings(tmp_path, "gpt-9-mini")
    away = made.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    with pytest.raises(InvalidRequest, match="gpt-9-mini"):
        check_models(away)
