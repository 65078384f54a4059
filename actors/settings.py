"""Settings of a deployment: from REALTIME_* variables, bounded, checked at the start."""

import math
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from reception.errors import InvalidRequest
from reception.media.adaptation import Targets
from reception.placement.balancing.pickers import PICKERS
from reception.placement.pool import PoolRules
from reception.placement.recycling import RecyclingRules
from reception.placement.sizer import SizerRules

PREFIX = "REALTIME_"
MIN_PEPPER_CHARS = 32
LEAVE_S = 30.0  # a node's, beside the grace time: to be known, to hand calls over, to stop
OPENAI_MODEL = "gpt-realtime-2.1-mini"
EMBEDDED_MODEL = "embedded"

_SQLITE = "sqlite:///"
_DATABASES = ("sqlite://", "postgresql://", "postgres://", "postgresql+psycopg://")
_CONFIG = Path(__file__).resolve().parent.parent / "config"

Dollars = Annotated[Decimal, Field(ge=0, le=10_000_000, decimal_places=6)]
Percent = Annotated[float, Field(gt=0, le=100)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseSettings):
    """Everything that a deployment may set; the variable of `pool_size` is
    REALTIME_POOL_SIZE. Relative paths are those of the starting process.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True
    )

    profile: Literal["development", "staging", "production"] = "development"

    # what is aimed at, and when to worry
    target_latency_ms: int = Field(100, ge=1, le=10_000)
    memory_threshold: Percent = 80.0
    cpu_threshold: Percent = 70.0
    metrics_collection_interval: int = Field(30, ge=1, le=3_600, description="seconds")
    alert_cooldown_seconds: int = Field(300, ge=0, le=86_400)
    alert_webhook: str = Field("", repr=False, description="an HTTP URL that gets each alert")
    alert_webhook_secret: SecretStr = Field(SecretStr(""), repr=False)

    # money, in US dollars
    cost_limit_hourly: Dollars = Decimal("50.0")
    cost_limit_daily: Dollars = Decimal("500.0")
    cost_limit_weekly: Dollars = Decimal("2500.0")
    cost_limit_monthly: Dollars = Decimal("8000.0")
    budget_timezone: str = "UTC"
    prices_path: Path = _CONFIG / "prices.yaml"
    hold_slice_s: int = Field(30, ge=5, le=3_600, description="of a call, held before it is used")
    hold_tail_s: int = Field(15, ge=0, le=600, description="held besides, for the call's end")

    cost_failure: Literal["closed", "lease", "open"] = Field(
        "lease",
        description="new calls while the cost singleton does not answer; lease: as many as "
        "their node has budget set aside for",
    )

    unbilled_s: float = Field(
        60.0, ge=1.0, le=86_400.0,
        description="a live call goes on while nothing can be billed, by what is held for it; "
        "unless cost_failure=open",
    )  # fmt: skip

    # security
    security_failure: Literal["closed", "known", "open"] = Field(
        "closed", description="likewise; known: whoever was admitted within the last hour"
    )
    rate_limit_per_minute: int = Field(60, ge=1, le=1_000_000)
    rate_limit_per_hour: int = Field(1_000, ge=1, le=60_000_000)
    auto_block_enabled: bool = True
    insecure_dev: bool = False
    key_pepper: SecretStr = SecretStr("")

    # the cluster: where this node stands, and how calls are spread over nodes
    zone: str = Field("", max_length=128)
    balancing: str = Field("by_size", description="an algorithm of the balancer, by name")

    # storage
    database_url: str = Field("sqlite:///var/reception.db", repr=False)
    recordings_path: Path = Path("var/recordings")
    phrases_path: Path = Field(
        Path("var/phrases"), description="recordings of fixed phrases: `reception phrases make`"
    )
    outbox_path: Path = Field(
        Path("var/outbox"), description="for what the database can't take yet; on a disk"
    )

    # where it listens; port 0 is any free one
    grpc_host: str = Field("127.0.0.1", min_length=1, max_length=255)
    grpc_port: Port = 50_051
    grpc_advertised: str = Field(
        "", max_length=255, description="host or host:port where callers reach this node"
    )
    http_host: str = Field("127.0.0.1", min_length=1, max_length=255)
    http_port: Port = 8_080

    # the voice provider; an empty model is the provider's default one
    provider: Literal["embedded", "openai"] = "embedded"
    provider_base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    provider_region: Literal["", "eu", "us"] = Field(
        "", description="of data residency, where prices are times their regional_factor"
    )
    model: str = Field("", max_length=128)
    voice: str = Field("", max_length=64)
    savings: Literal["off", "quality", "balanced", "thrifty", "economy"] = Field(
        "quality", description="how the provider's bill is kept low; see docs/money.md"
    )
    # the account's limits, as far as they are known; what the provider says of them counts too
    provider_requests_per_minute: int | None = Field(None, ge=1, le=10**9)
    provider_tokens_per_minute: int | None = Field(None, ge=1, le=10**12)
    provider_sessions: int | None = Field(None, ge=1, le=10**6, description="at a time")

    # calls
    receptionist_path: Path = _CONFIG / "receptionist.yaml"
    pool_size: int = Field(8, ge=1, le=1_000, description="sessions kept ready at least")
    pool_ceiling: int = Field(500, ge=1, le=10_000, description="sessions at most, by memory fewer")
    pool_blocking_percent: float = Field(1.0, ge=0.001, le=50.0)
    pool_wait_s: float = Field(2.0, ge=0.0, le=4.0, description="the longest wait for a session")
    pool_waiting: int = Field(200, ge=0, le=10_000, description="callers who wait for a session")
    session_calls: int = Field(2_000, ge=1, le=1_000_000, description="then it is replaced")
    session_limit_mb: float = Field(300.0, ge=50.0, le=100_000.0, description="as session_calls")
    workers: int = Field(2, ge=1, le=256, description="audio workers")
    worker_limit_mb: float = Field(600.0, ge=50.0, le=100_000.0, description="then it is replaced")
    idle_timeout_s: float = Field(
        15.0, ge=1.0, le=600.0, description="then a caller who sends or reads nothing is gone"
    )
    attach_timeout_s: float = Field(5.0, ge=0.5, le=60.0)
    resume_wait_s: float = Field(
        10.0, ge=0.0, le=60.0, description="for a caller whose stream broke to come back"
    )
    max_call_s: int = Field(3_600, ge=10, le=86_400)
    drain_grace_s: float = Field(60.0, ge=0.0, le=86_400.0)
    termination_grace_s: float = Field(
        0.0, ge=0.0, le=86_400.0,
        description="what the pod or unit has from SIGTERM to SIGKILL; 0: not known",
    )  # fmt: skip

    @field_validator(
        "prices_path", "receptionist_path", "recordings_path", "outbox_path", "phrases_path"
    )
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: str) -> str:
        if not url.startswith(_DATABASES):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        path = url.removeprefix(_SQLITE)
        if path == url or path in ("", ":memory:"):
            if url.startswith("sqlite"):
                raise ValueError("must name a file, as in sqlite:///var/reception.db")
            return url
        return _SQLITE + str(Path(path).expanduser().absolute())

    @field_validator("alert_webhook")
    @classmethod
    def _webhook(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be a URL that begins with http:// or https://")
        return url

    @field_validator("balancing")
    @classmethod
    def _picker(cls, name: str) -> str:
        if name not in PICKERS:
            raise ValueError("must be one of " + ", ".join(PICKERS))
        return name

    @field_validator("budget_timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a time zone's name, as in Europe/Berlin") from None
        return name

    @model_validator(mode="before")
    @classmethod
    def _default_model(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("model"):
            provider = values.get("provider", "embedded")
            return values | {"model": EMBEDDED_MODEL if provider == "embedded" else OPENAI_MODEL}
        return values

    @model_validator(mode="after")
    def _drain_is_in_time(self) -> Self:
        if self.drain_grace_s > self.most_grace_s:
            raise ValueError(
                f"drain_grace_s|is {self.drain_grace_s:g}: with {LEAVE_S:g} s to hand calls over "
                f"it must be within REALTIME_TERMINATION_GRACE_S, {self.termination_grace_s:g}"
            )
        return self

    @model_validator(mode="after")
    def _production_is_strict(self) -> Self:
        if self.profile != "production":
            return self
        if self.insecure_dev:
            raise ValueError("insecure_dev|must be false when REALTIME_PROFILE is production")
        if len(self.key_pepper.get_secret_value()) < MIN_PEPPER_CHARS:
            raise ValueError(
                f"key_pepper|must have at least {MIN_PEPPER_CHARS} characters "
                "when REALTIME_PROFILE is production"
            )
        return self

    @property
    def most_grace_s(self) -> float:
        """The longest drain that fits into what the pod or unit is given."""
        return self.termination_grace_s - LEAVE_S if self.termination_grace_s else math.inf

    def pool_rules(self) -> PoolRules:
        """What a node's session pool may be."""
        return PoolRules(
            floor=self.pool_size,
            ceiling=max(self.pool_size, self.pool_ceiling),
            calls_per_session=self.session_calls,
            session_limit_mb=self.session_limit_mb,
            waiting=self.pool_waiting,
            longest_wait_s=self.pool_wait_s,
        )

    def sizer_rules(self) -> SizerRules:
        """What a node's session pool is sized by."""
        return SizerRules(
            blocking=self.pool_blocking_percent / 100, memory_percent=self.memory_threshold
        )

    def recycling_rules(self) -> RecyclingRules:
        """When an audio worker is replaced."""
        return RecyclingRules(self.worker_limit_mb, self.memory_threshold)

    def targets(self) -> Targets:
        """What an audio worker adapts to."""
        return Targets(
            latency_ms=self.target_latency_ms,
            cpu_percent=self.cpu_threshold,
            memory_percent=self.memory_threshold,
        )

    def alone_s(self) -> float:
        """How long a live call goes on while nothing can be billed, by what is held for it,
        unless limits may be passed."""
        return inf if self.cost_failure == "open" else self.unbilled_s

    def cost_limits_micros(self) -> dict[str, int]:
        """The limits by window (hour, day, week, month) in micro-dollars."""
        dollars = {
            "hour": self.cost_limit_hourly,
            "day": self.cost_limit_daily,
            "week": self.cost_limit_weekly,
            "month": self.cost_limit_monthly,
        }
        return {window: int(amount * 1_000_000) for window, amount in dollars.items()}


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` (by field name) on top.

    Raises:
        InvalidRequest: with one line for each fault, which names the variable,
            the value and the bound; `field` is the first variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = [_fault(details) for details in error.errors(include_url=False)]
    raise InvalidRequest("\n".join(f"{name} {text}" for name, text in faults), field=faults[0][0])


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Names of REALTIME_* variables that no setting has: misspelt, most likely."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    names = os.environ if environ is None else environ
    return sorted(
        name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known
    )


def _fault(details: ErrorDetails) -> tuple[str, str]:
    """The variable and the sentence about it. Secrets are never shown."""
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        name, _, message = message.partition("|")
        return PREFIX + name.upper(), message
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        return PREFIX + name.upper(), "is not a setting"
    message = message.replace("Input should be ", "must be ")
    secret = Settings.model_fields[name].annotation is SecretStr
    shown = re.sub("//[^@/]*@", "//***@", str(details["input"]))[:100]
    value = "" if secret else f"is {shown!r}: "
    return PREFIX + name.upper(), value + message
