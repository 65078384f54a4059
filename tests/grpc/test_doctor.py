"""Every fault that the doctor knows, made for real where that is possible."""

from __future__ import annotations

import http.server
import os
import socket
import threading

import pytest

from actors.settings import load_settings
from actors.storage.engine import Store
from cluster import doctor
from cluster.front_door import DoorConfig, FrontDoor
from cluster.front_door.backends import RayBackends
from tests.fakes.door import FakeDoor


@pytest.fixture(autouse=True)
def _own_database(tmp_path, monkeypatch):
    monkeypatch.setenv("REALTIME_DATABASE_URL", f"sqlite:///{tmp_path}/reception.db")
    monkeypatch.setenv("REALTIME_GRPC_PORT", "0")
    monkeypatch.setenv("REALTIME_HTTP_PORT", "0")


def _by_name(findings):
    return {finding.what: finding for finding in findings}


def test_here_all_is_well():
    findings = doctor.examine()
    assert [finding for finding in findings if finding.state == "fault"] == []
    assert {"python", "packages", "database", "models", "gRPC port", "provider key"} <= set(
        _by_name(findings)
    )


def test_a_bad_setting_ends_the_examination(monkeypatch):
    monkeypatch.setenv("REALTIME_WORKERS", "0")
    found = doctor.examine()[-1]
    assert (found.what, found.state) == ("settings", "fault")
    assert "REALTIME_WORKERS is '0'" in found.detail


def test_a_misspelt_setting(monkeypatch):
    monkeypatch.setenv("REALTIME_WORKRES", "3")
    found = _by_name(doctor.examine())["settings"]
    assert (found.state, found.remedy) == ("warning", "check the spelling")
    assert "REALTIME_WORKRES" in found.detail


@pytest.mark.parametrize("version", [(3, 10, 12), (3, 14, 0)])
def test_python_is_too_old_or_too_new(version):
    found = doctor.python(version)
    assert found.state == "fault"
    assert "make setup" in found.remedy


def test_packages_against_a_lock(tmp_path):
    lock = tmp_path / "run.txt"
    lock.write_text("pytest==0.1 \\\n    --hash=x\n")
    (found,) = doctor.packages(lock)
    assert found.state == "warning"
    assert "(locked: 0.1)" in found.detail
    lock.write_text("no-such-package==1.0\nother-system==1 ; sys_platform == 'win32'\n")
    (found,) = doctor.packages(lock)
    assert (found.state, found.detail) == ("fault", "missing: no-such-package")
    (found,) = doctor.packages(tmp_path / "gone.txt")
    assert found.state == "warning"


def test_too_little_memory(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4000000 kB\nMemAvailable:  1048576 kB\n")
    assert doctor._available_mib(meminfo) == 1_024
    assert doctor._available_mib(tmp_path / "gone") is None
    found = doctor._enough("memory", 1_024, 2_500, "MiB available", "close something")
    assert (found.state, found.remedy) == ("warning", "close something")


def test_a_receptionist_with_a_fault(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("default: nobody\nprofiles: {}\n")
    found = doctor.receptionist(load_settings(receptionist_path=path))
    assert found.state == "fault"
    assert str(path) in found.remedy


def test_a_model_without_a_price():
    found = doctor.prices(load_settings(provider="openai", model="dreams-1"))
    assert found.state == "fault"
    assert "dreams-1" in found.detail


def test_a_database_that_is_there(tmp_path):
    settings = load_settings()
    assert "will be made" in doctor.database(settings).detail
    Store.open(settings.database_url).close()
    found = doctor.database(settings)
    assert (found.state, found.remedy) == ("ok", "")


def test_a_database_that_is_none(tmp_path):
    path = tmp_path / "words.db"
    path.write_text("these are only words, and not few of them " * 50)
    found = doctor.database(load_settings(database_url=f"sqlite:///{path}"))
    assert (found.state, found.remedy) == ("fault", "check REALTIME_DATABASE_URL")


def test_a_database_server_that_is_not_there(unused_tcp_port):
    url = f"postgresql://user:secret@127.0.0.1:{unused_tcp_port}/reception"
    found = doctor.database(load_settings(database_url=url))
    assert found.state == "fault"
    assert "secret" not in found.detail


def test_a_place_for_the_database(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = doctor._place_for(tmp_path / "new" / "x.db")
    assert (found.state, found.detail) == ("fault", f"{tmp_path} can't be written to")
    monkeypatch.undo()
    monkeypatch.setattr(doctor, "MIN_DISK_MIB", 1 << 40)
    assert doctor._place_for(tmp_path / "x.db").remedy == "make room"


def test_a_port_that_somebody_has():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = doctor.ports(load_settings(http_port=port))[1]
    assert found.state == "fault"
    assert "set REALTIME_HTTP_PORT" in found.remedy


async def test_a_port_that_another_grpc_server_has(monkeypatch):
    monkeypatch.setattr(doctor, "PROBE_S", 0.5)
    fake = FakeDoor()
    address = await fake.start()
    found = await _look(address)
    await fake.stop()
    assert found.state == "fault"


class _NoBackends(RayBackends):
    """A door that only has to say what it is."""

    async def start(self) -> None:
        pass

    async def ready(self) -> bool:
        return False  # full, say

    async def serves_at(self, grpc_address: str) -> None:
        pass


async def test_a_port_that_a_receptionist_has():
    config = DoorConfig(host="127.0.0.1", port=0, node_id="n")
    door = FrontDoor(config, backends=_NoBackends(config))
    found = await _look(await door.start())
    await door.stop()
    assert (found.state, found.remedy) == ("ok", "")
    assert "answers there already" in found.detail


async def _look(address):
    import asyncio

    settings = load_settings(grpc_port=int(address.rpartition(":")[2]))
    return (await asyncio.to_thread(doctor.ports, settings))[0]


def test_models_that_are_missing(monkeypatch, tmp_path):
    from voice.speech import models

    settings = load_settings()
    monkeypatch.setattr(models, "check", lambda: [("speech model", False, "run make")])
    (found,) = doctor.models(settings)
    assert (found.state, found.detail, found.remedy) == ("fault", "no speech model", "run make")
    monkeypatch.setattr(models, "check", list)
    monkeypatch.setattr(models, "locate", lambda _: str(tmp_path))
    (found,) = doctor.models(settings)
    assert found.detail.endswith("has no model.bin")
    elsewhere = load_settings(provider="openai")
    assert doctor.models(elsewhere)[0].state == "ok"


def test_models_that_can_not_be_located(monkeypatch):
    monkeypatch.setattr("voice.speech.models._PACKAGE", "no_such_package")
    monkeypatch.setattr("voice.speech.models.check", list)
    (found,) = doctor.models(load_settings())
    assert (found.state, found.remedy) == ("fault", "make setup")


def test_a_key_is_needed_for_openai():
    settings = load_settings(provider="openai")
    assert doctor.provider_key(settings, "", online=True).state == "fault"
    assert doctor.provider_key(settings, "sk-1", online=False).state == "ok"


class _Provider(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.headers["Authorization"] == "Bearer sk-good"
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args):
        pass


def test_a_key_is_tried_online(unused_tcp_port):
    with http.server.HTTPServer(("127.0.0.1", 0), _Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        settings = load_settings(provider="openai", provider_base_url=url)
        good = doctor.provider_key(settings, "sk-good", online=True)
        bad = doctor.provider_key(settings, "sk-bad", online=True)
        server.shutdown()
        thread.join()
    assert good.state == "ok"
    assert (bad.state, bad.remedy) == ("fault", "make a new key")
    assert "sk-bad" not in bad.detail
    nowhere = f"http://127.0.0.1:{unused_tcp_port}/v1"
    settings = load_settings(provider="openai", provider_base_url=nowhere)
    assert doctor.provider_key(settings, "sk-1", online=True).remedy == "check network and proxy"
