"""The command line against a server that the test decides, and a real database."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import wave

import numpy as np
import pytest
from typer.testing import CliRunner

from cluster.cli import app
from cluster.doctor import Finding
from protos.reception.v1 import reception_pb2 as rv
from tests.fakes.door import FakeDoor


def _run(*args, **env):
    return CliRunner().invoke(app, list(args), env=env)


async def _beside(*args, **env):
    """The command in a thread, while the server's loop goes on."""
    return await asyncio.to_thread(_run, *args, **env)


@pytest.fixture
async def door():
    fake = FakeDoor()
    await fake.start()
    call = rv.Call(
        call_id="c1", state=rv.CALL_STATE_ENDED, end_reason="completed", turns=3,
        duration_ms=12_345, cost_micros=6_700,
    )  # fmt: skip
    call.started_at.FromSeconds(1_790_000_000)
    fake.calls["c1"] = call
    fake.calls["c2"] = rv.Call(call_id="c2", state=rv.CALL_STATE_ACTIVE, phase="listening")
    yield fake
    await fake.stop()


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/keys.db"


# ---------------------------------------------------------------- the command itself


def test_help_is_quick_to_load_and_lists_the_commands():
    code = (
        "import sys, cluster.cli\n"
        "heavy = {'ray', 'grpc', 'numpy', 'openai', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = _run("--help").output
    for command in ("serve", "demo", "call", "doctor", "keys", "calls"):
        assert command in shown


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "receptionist" in done.stdout


def test_a_bad_setting_is_one_line(monkeypatch):
    monkeypatch.setenv("REALTIME_POOL_SIZE", "0")
    result = _run("serve")
    assert result.exit_code == 1
    assert "REALTIME_POOL_SIZE is '0'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_demo_wants_a_key_for_openai(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = _run("demo", "--provider", "openai")
    assert result.exit_code == 1
    assert "OPENAI_API_KEY is not set" in result.stderr


# ---------------------------------------------------------------- keys


def test_a_key_from_making_to_revoking(database):
    where = ("--database-url", database)
    made = _run("keys", "create", "pbx", "--scope", "call", "--expires-in", "30d", *where)
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert key.startswith("air_")
    assert "not shown again" in made.stderr

    other = json.loads(_run("keys", "create", "ops", "--json", *where).stdout)
    assert other["scopes"] == ["call", "read"]

    listed = json.loads(_run("keys", "list", "--json", *where).stdout)
    assert [each["name"] for each in listed] == ["pbx", "ops"]
    assert key not in json.dumps(listed)
    assert listed[0]["expires_at_s"] - listed[0]["created_at_s"] == pytest.approx(
        30 * 86_400, abs=5
    )

    gone = _run("keys", "revoke", other["key_id"], *where)
    assert gone.stdout == f"{other['key_id']} is revoked\n"
    shown = _run("keys", "list", *where).stdout
    assert "revoked" in shown
    assert "valid until" in shown
    assert json.loads(_run("keys", "revoke", other["key_id"], "--json", *where).stdout)["revoked"]


def test_no_keys_says_how_to_make_one(database):
    assert "reception keys create" in _run("keys", "list", "--database-url", database).stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("create", "x", "--scope", "fly"), "scopes are fly: must be of call, read, manage"),
        (("create", ""), "name has 0 characters"),
        (("create", "x", "--expires-in", "soon"), "--expires-in is 'soon'"),
        (("revoke", "nobody"), "there is no key 'nobody'"),
    ],
)
def test_a_wrong_key_command_says_what_is_wrong(database, args, words):
    result = _run("keys", *args, "--database-url", database)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output


# ---------------------------------------------------------------- calls


async def test_calls_are_listed(door):
    shown = (await _beside("calls", "list", "-s", door.address)).stdout
    assert "completed" in shown
    assert "listening" in shown
    found = json.loads((await _beside("calls", "list", "-s", door.address, "--json")).stdout)
    assert [call["call_id"] for call in found] == ["c1", "c2"]
    only = await _beside("calls", "list", "-s", door.address, "--state", "active", "--json")
    assert [call["call_id"] for call in json.loads(only.stdout)] == ["c2"]


async def test_server_and_key_come_from_the_environment(door):
    env = {"RECEPTION_SERVER": door.address, "RECEPTION_KEY": "from-env"}
    result = await _beside("calls", "show", "c1", **env)
    assert "end_reason" in result.stdout
    assert door.keys == ["from-env"]


async def test_a_call_is_ended(door):
    args = ("calls", "end", "c2", "--reason", "fire drill", "-s", door.address, "--json")
    result = await _beside(*args)
    assert json.loads(result.stdout)["call_id"] == "c2"
    assert door.requests[-1].reason == "fire drill"


async def test_calls_are_watched(door):
    door.updates = [rv.CallUpdate(kind=rv.CallUpdate.KIND_STARTED, call=door.calls["c2"])] * 2
    shown = (await _beside("calls", "watch", "-s", door.address)).stdout
    assert shown.count("started  c2 listening") == 2
    lines = (await _beside("calls", "watch", "c2", "-s", door.address, "--json")).stdout
    assert [json.loads(line)["kind"] for line in lines.splitlines()] == ["KIND_STARTED"] * 2


async def test_errors_of_the_server_are_one_line(door):
    unknown = await _beside("calls", "show", "nope", "-s", door.address)
    assert (unknown.exit_code, unknown.stderr) == (1, "reception: there is no call 'nope'\n")
    refused = await _beside("calls", "list", "-s", door.address, "-k", "wrong")
    assert refused.exit_code == 1
    assert "RECEPTION_KEY" in refused.stderr
    assert "reception keys create" in refused.stderr


async def test_nobody_there(unused_tcp_port):
    result = await _beside("calls", "list", "-s", f"127.0.0.1:{unused_tcp_port}")
    assert result.exit_code == 1
    assert "start a server with `reception serve`" in result.stderr


# ---------------------------------------------------------------- one call


async def _answer(line):
    await line.accept("call-9")
    await line.speak(5, code=0x11)
    await line.hear_words(pause_frames=30)
    said = rv.Transcript(speaker=rv.SPEAKER_CALLER, text="are you [open]", final=True)
    await line.send(transcript=said)
    await line.speak(10, code=0x13)
    said = rv.Transcript(speaker=rv.SPEAKER_RECEPTION, text="yes, we are", final=True)
    await line.send(transcript=said)
    await line.next("end")
    call = rv.Call(end_reason="caller_hangup", cost_micros=1_234)
    await line.send(summary=rv.CallSummary(call=call))


def _tone(path):
    t = np.arange(4_000) / 8_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes((9_000 * np.sin(2 * np.pi * 300 * t)).astype("<i2").tobytes())
    return str(path)


async def test_a_file_is_called_in_and_the_answer_saved(door, tmp_path):
    door.conversation = _answer
    out = tmp_path / "answer.wav"
    args = ("call", _tone(tmp_path / "in.wav"), "-s", door.address, "--out", str(out))
    result = await _beside(*args)
    assert result.exit_code == 0, result.output
    assert "are you [open]" in result.stdout
    assert "yes, we are" in result.stdout
    assert "ended caller_hangup, cost $0.0012" in result.stdout
    with wave.open(str(out)) as file:
        assert file.getnchannels() == 2
        sound = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    assert np.count_nonzero(sound[:, 0]) >= 3_900
    assert np.count_nonzero(sound[:, 1]) == 15 * 160


async def test_a_call_as_json(door, tmp_path):
    door.conversation = _answer
    out = tmp_path / "answer.wav"
    args = ("call", "--say", "Are you open?", "-s", door.address, "--out", str(out), "--json")
    result = await _beside(*args)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["call_id"] == "call-9"
    assert found["transcript"][1] == {"who": "reception", "text": "yes, we are"}
    assert found["end_reason"] == "caller_hangup"
    assert found["recording"] == str(out)


async def test_a_refused_call_fails(door, tmp_path):
    args = ("call", _tone(tmp_path / "in.wav"), "-s", door.address, "-k", "wrong", "--json")
    result = await _beside(*args)
    assert result.exit_code == 1
    assert "UNAUTHENTICATED: the API key is not known" in result.stderr
    assert json.loads(result.stdout)["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("args", [(), ("x.wav", "--say", "hello")])
def test_a_call_needs_one_thing_to_say(args):
    result = _run("call", *args)
    assert result.exit_code == 1
    assert 'either a WAV file or --say "words"' in result.stderr


def test_a_file_that_is_not_there():
    result = _run("call", "nowhere.wav")
    assert result.exit_code == 1
    assert "nowhere.wav is no WAV file that can be read" in result.stderr


# ---------------------------------------------------------------- doctor


def test_the_doctor_tells_faults_and_what_to_do(monkeypatch):
    findings = [
        Finding("python", "ok", "3.11.7"),
        Finding("memory", "warning", "100 MiB", "close something"),
        Finding("gRPC port", "fault", "in use", "take another"),
    ]
    monkeypatch.setattr("cluster.doctor.examine", lambda *, online: findings)
    result = _run("doctor")
    assert result.exit_code == 1
    assert "→ take another" in result.stdout
    assert "1 faults" in result.stdout
    plain = _run("doctor", "--json")
    assert plain.exit_code == 1
    assert json.loads(plain.stdout)["findings"][2]["remedy"] == "take another"
    monkeypatch.setattr("cluster.doctor.examine", lambda *, online: findings[:2])
    healthy = _run("doctor")
    assert healthy.exit_code == 0
    assert "all is well" in healthy.stdout
