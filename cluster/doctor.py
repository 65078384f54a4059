"""Checks whether this machine can answer calls, and says what to do if not."""

from __future__ import annotations

import importlib.metadata
import os
import re
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.settings import Settings, load_settings, unknown_variables
from reception.errors import InvalidRequest, ReceptionError

ROOT = Path(__file__).resolve().parent.parent
SHM = Path("/dev/shm")  # noqa: S108  # nosec B108 - only its size is looked at
MIN_MEMORY_MIB = 2_500
MIN_SHM_MIB = 64
MIN_OPEN_FILES = 4_096
MIN_DISK_MIB = 500
PROBE_S = 2.0
KEY_PROBE_S = 10.0

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it ("" for nothing)."""

    what: str
    state: State
    detail: str
    remedy: str = ""


def examine(*, online: bool = False) -> list[Finding]:
    """Every check, in the order in which faults should be mended.

    Args:
        online: also use the provider's key once (costs nothing).
    """
    findings = [python(), *packages(ROOT / "requirements" / "run.txt"), *machine()]
    try:
        settings = load_settings()
    except InvalidRequest as error:
        findings += [
            Finding("settings", "fault", line, "correct the variable, or unset it")
            for line in error.message.splitlines()
        ]
        return findings
    findings.append(_names())
    checks: tuple[Callable[[Settings], Finding], ...] = (receptionist, prices, database)
    findings += [check(settings) for check in checks]
    if findings[-len(checks)].state == "ok":  # the receptionist
        findings.append(speech(settings))
    findings += ports(settings)
    findings += models(settings)
    findings.append(provider_key(settings, os.environ.get("OPENAI_API_KEY", ""), online=online))
    return findings


# ---------------------------------------------------------------- installation


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """The interpreter."""
    shown = ".".join(str(part) for part in version[:3])
    if (3, 11) <= version[:2] <= (3, 13):
        return Finding("python", "ok", shown)
    return Finding(
        "python",
        "fault",
        f"{shown} is not 3.11 to 3.13",
        "rm -rf .venv; PYTHON=python3.11 make setup",
    )


def packages(lock: Path) -> list[Finding]:
    """Installed versions against the lock file."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError:
        return [Finding("packages", "warning", f"{lock.name} is not here to compare with")]
    absent, other = [], []
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)((?: ;[^\\\n]*)?)", text, re.MULTILINE)
    for name, version, marker in pins:
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if not marker:  # one with a marker is of another system or Python
                absent.append(name)
            continue
        if installed != version and not marker:
            other.append(f"{name} {installed} (locked: {version})")
    if absent:
        return [Finding("packages", "fault", f"missing: {', '.join(absent)}", "make setup")]
    if other:
        return [Finding("packages", "warning", f"not as locked: {', '.join(other)}", "make setup")]
    return [Finding("packages", "ok", f"{len(pins)} as locked")]


# ---------------------------------------------------------------- machine


def machine() -> Iterator[Finding]:
    """Cores, memory, shared memory and open files."""
    yield Finding("cores", "ok", f"{os.cpu_count()}")
    free = _available_mib(Path("/proc/meminfo"))
    if free is not None:
        yield _enough(
            "memory",
            free,
            MIN_MEMORY_MIB,
            "MiB available",
            "close something, or set REALTIME_POOL_SIZE lower",
        )
    if SHM.is_dir():
        shm = shutil.disk_usage(SHM).free >> 20
        yield _enough(
            "shared memory",
            shm,
            MIN_SHM_MIB,
            "MiB free in /dev/shm",
            "in a container: --shm-size=1g",
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield _enough("open files", soft, MIN_OPEN_FILES, "allowed", f"ulimit -n {min(hard, 65_536)}")


def _available_mib(meminfo: Path) -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) >> 10 if found else None


def _enough(what: str, found: int, needed: int, unit: str, remedy: str) -> Finding:
    if found >= needed:
        return Finding(what, "ok", f"{found} {unit}")
    return Finding(what, "warning", f"{found} {unit}, {needed} are better", remedy)


# ---------------------------------------------------------------- configuration


def _names() -> Finding:
    unknown = unknown_variables()
    if unknown:
        return Finding(
            "settings",
            "warning",
            f"no setting has these names: {', '.join(unknown)}",
            "check the spelling",
        )
    return Finding("settings", "ok", "all within their bounds")


def receptionist(settings: Settings) -> Finding:
    """The YAML file of profiles."""
    from actors.profiles import load_profiles  # noqa: PLC0415 - checked one by one

    path = settings.receptionist_path
    try:
        book = load_profiles(path)
    except ReceptionError as error:
        return Finding(
            "receptionist",
            "fault",
            error.message,
            f"correct {path}, or set REALTIME_RECEPTIONIST_PATH",
        )
    return Finding("receptionist", "ok", f"{', '.join(sorted(book.profiles))} in {path.name}")


def speech(settings: Settings) -> Finding:
    """Whether answers that come as text (savings: economy) can be spoken."""
    from cluster.speech import speaks_here  # noqa: PLC0415 - checked one by one

    try:
        spoken = speaks_here(settings)
    except InvalidRequest as error:
        return Finding("speech", "fault", error.message, "make setup")
    return Finding("speech", "ok", "spoken here" if spoken else "the model's own")


def prices(settings: Settings) -> Finding:
    """The price table, and whether the model and those of the profiles are in it."""
    import time  # noqa: PLC0415 - checked one by one

    from actors.prices import load_prices  # noqa: PLC0415 - checked one by one
    from cluster.models import check_models  # noqa: PLC0415 - checked one by one

    try:
        load_prices(settings).check_call(settings.model, time.time())
        check_models(settings)
    except ReceptionError as error:
        return Finding("prices", "fault", error.message, f"correct {settings.prices_path}")
    return Finding("prices", "ok", f"{settings.model} is in {settings.prices_path.name}")


def database(settings: Settings) -> Finding:
    """Opens the database, with its migrations, and reads from it."""
    from actors.storage.engine import Store  # noqa: PLC0415 - checked one by one

    url = settings.database_url
    shown = re.sub("//[^@/]*@", "//***@", url)
    path = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None
    if path is not None and not path.exists():
        return _place_for(path)
    try:
        store = Store.open(url)
        try:
            with store.reading():
                pass
        finally:
            store.close()
    except (ReceptionError, OSError) as error:
        return Finding("database", "fault", f"{shown}: {error}", "check REALTIME_DATABASE_URL")
    return Finding("database", "ok", shown)


def _place_for(path: Path) -> Finding:
    """A SQLite file that will be made at the first start."""
    folder = next(parent for parent in path.parents if parent.exists())
    if not os.access(folder, os.W_OK):
        remedy = "make it writable, or set REALTIME_DATABASE_URL"
        return Finding("database", "fault", f"{folder} can't be written to", remedy)
    free = shutil.disk_usage(folder).free >> 20
    if free < MIN_DISK_MIB:
        return Finding("database", "warning", f"{free} MiB are free in {folder}", "make room")
    return Finding("database", "ok", f"{path} will be made")


# ---------------------------------------------------------------- ports


def ports(settings: Settings) -> list[Finding]:
    """Whether what we listen on is free, or taken by a server of ours."""
    return [
        _port("gRPC port", settings.grpc_host, settings.grpc_port, "REALTIME_GRPC_PORT"),
        _port("HTTP port", settings.http_host, settings.http_port, "REALTIME_HTTP_PORT"),
    ]


def _port(what: str, host: str, port: int, variable: str) -> Finding:
    if port == 0:
        return Finding(what, "ok", "any free one")
    try:
        with socket.create_server((host, port)):
            return Finding(what, "ok", f"{host}:{port} is free")
    except OSError as error:
        detail = f"{host}:{port}: {error.strerror}"
    if what == "gRPC port" and _answers(host, port):
        return Finding(what, "ok", f"{host}:{port}: a receptionist answers there already")
    return Finding(what, "fault", detail, f"end who has it, or set {variable}")


def _answers(host: str, port: int) -> bool:
    """Whether a gRPC server there says that it is a receptionist, be it full or draining."""
    import grpc  # noqa: PLC0415 - checked one by one
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - checked one by one

    with grpc.insecure_channel(f"{host}:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service="reception.v1.Reception")
        try:
            health_pb2_grpc.HealthStub(channel).Check(request, timeout=PROBE_S)
        except grpc.RpcError:  # another server knows no such service
            return False
    return True


# ---------------------------------------------------------------- voice


def models(settings: Settings) -> list[Finding]:
    """The embedded engine's packages and model, where it is used."""
    if settings.provider != "embedded" or settings.provider_base_url:
        return [Finding("models", "ok", "not needed: the voice is elsewhere")]
    from voice.speech import models as speech  # noqa: PLC0415 - checked one by one

    missing = [(part, advice) for part, there, advice in speech.check() if not there]
    if missing:
        return [Finding("models", "fault", f"no {part}", advice) for part, advice in missing]
    try:
        place = speech.locate(speech.PACKAGED)
    except ReceptionError as error:
        return [Finding("models", "fault", error.message, "make setup")]
    if not (Path(place) / "model.bin").is_file():
        return [Finding("models", "fault", f"{place} has no model.bin", "make setup")]
    return [Finding("models", "ok", "recognition, synthesis and voice activity are here")]


def provider_key(settings: Settings, key: str, *, online: bool) -> Finding:
    """The provider's API key; `online`: does the provider take it?"""
    what = "provider key"
    if settings.provider != "openai":
        return Finding(what, "ok", f"not needed for {settings.provider}")
    if not key:
        return Finding(
            what, "fault", "OPENAI_API_KEY is not set", "export it, or REALTIME_PROVIDER=embedded"
        )
    if not online:
        return Finding(what, "ok", "set; --online tries it")
    import httpx  # noqa: PLC0415 - checked one by one

    base_url = settings.provider_base_url or "https://api.openai.com/v1"
    try:
        answer = httpx.get(
            f"{base_url}/models/{settings.model}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=KEY_PROBE_S,
        )
    except httpx.HTTPError as error:
        return Finding(what, "fault", f"{base_url}: {error}", "check network and proxy")
    if answer.status_code == httpx.codes.OK:
        return Finding(what, "ok", f"{base_url} takes it and has {settings.model}")
    remedy = {401: "make a new key", 404: "set REALTIME_MODEL"}.get(
        answer.status_code, "look at the account"
    )
    return Finding(what, "fault", f"{base_url} answers {answer.status_code}", remedy)
