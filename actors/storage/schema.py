"""The tables. Changes here need a migration beside them (migrations/versions).

Money is in micro-dollars, `*_s` are UNIX seconds, `*_us` microseconds.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData()

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite gives numbers by itself only to a column of exactly this type."""

epochs = Table(
    "epochs",
    metadata,
    Column("singleton", String(32), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

# ------------------------------------------------------------------ money

ledger = Table(
    "ledger",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("idempotency_key", String(600), nullable=False, unique=True),
    Column("epoch", BigInteger, nullable=False),
    Column("session_id", String(256), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("debit", String(16), nullable=False),
    Column("credit", String(16), nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("model", String(128), nullable=False),
    Column("at_s", Double, nullable=False),
    CheckConstraint("amount_micros > 0", name="ledger_amount"),
    CheckConstraint("debit <> credit", name="ledger_accounts"),
    Index("ledger_session", "session_id"),
)

usage = Table(
    "usage",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("session_id", String(256), nullable=False),
    Column("response_id", String(256), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("model", String(128), nullable=False),
    Column("input_text", BigInteger, nullable=False),
    Column("input_audio", BigInteger, nullable=False),
    Column("cached_text", BigInteger, nullable=False),
    Column("cached_audio", BigInteger, nullable=False),
    Column("output_text", BigInteger, nullable=False),
    Column("output_audio", BigInteger, nullable=False),
    Column("audio_ms", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("at_s", Double, nullable=False),
    Column("input_image", BigInteger, nullable=False, server_default="0"),
    Column("cached_image", BigInteger, nullable=False, server_default="0"),
    Index("usage_response", "session_id", "kind", "response_id", unique=True),
    Index("usage_item", "response_id"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("session_id", String(256), primary_key=True),
    Column("call_id", String(256), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("model", String(128), nullable=False),
    Column("held_micros", BigInteger, nullable=False),
    Column("total_micros", BigInteger, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("opened_at_s", Double, nullable=False),
    Column("active_at_s", Double, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("number", String(256), nullable=False, server_default=""),
    Column("profile", String(128), nullable=False, server_default=""),
    Column("provider", String(64), nullable=False, server_default=""),
    Column("exempt", Boolean, nullable=False, server_default=false()),
    Column("tail_micros", BigInteger, nullable=False, server_default="0"),
    Column("wrapping", Boolean, nullable=False, server_default=false()),
    CheckConstraint("held_micros >= 0", name="accounts_held"),
    Index("accounts_holding", "closed", "active_at_s"),
    Index("accounts_opened", "opened_at_s"),
)

spending = Table(
    "spending",
    metadata,
    Column("scope", String(300), primary_key=True),
    Column("slot_s", BigInteger, primary_key=True, autoincrement=False),
    Column("micros", BigInteger, nullable=False),
)

limits = Table(
    "limits",
    metadata,
    Column("scope", String(300), primary_key=True),
    Column("period", String(16), primary_key=True),
    Column("zone", String(64), nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("set_by", String(128), nullable=False),
    Column("set_at_s", Double, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("steps", Text, nullable=False),
    Column("set_by", String(128), nullable=False),
    Column("set_at_s", Double, nullable=False),
)

price_tables = Table(
    "price_tables",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("set_by", String(128), nullable=False),
    Column("set_at_s", Double, nullable=False),
)

model_totals = Table(
    "model_totals",
    metadata,
    Column("model", String(128), primary_key=True),
    Column("responses", BigInteger, nullable=False),
    Column("transcriptions", BigInteger, nullable=False),
    Column("input_text", BigInteger, nullable=False),
    Column("input_audio", BigInteger, nullable=False),
    Column("cached_text", BigInteger, nullable=False),
    Column("cached_audio", BigInteger, nullable=False),
    Column("output_text", BigInteger, nullable=False),
    Column("output_audio", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("input_image", BigInteger, nullable=False, server_default="0"),
    Column("cached_image", BigInteger, nullable=False, server_default="0"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at_s", Double, nullable=False),
    Column("scope", String(300), nullable=False),
    Column("period", String(16), nullable=False),
    Column("start_s", Double, nullable=False),
    Column("end_s", Double, nullable=False),
    Column("measure", String(16), nullable=False),
    Column("percent", Integer, nullable=False),
    Column("from_percent", Integer, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("limit_micros", BigInteger, nullable=False),
)

alert_states = Table(
    "alert_states",
    metadata,
    Column("scope", String(300), primary_key=True),
    Column("period", String(16), primary_key=True),
    Column("start_s", Double, primary_key=True, autoincrement=False),
    Column("measure", String(16), primary_key=True),
    Column("end_s", Double, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("told", Text, nullable=False),
)
"""What was told of a limit's window; `told`: when each level was last, as JSON."""

# ------------------------------------------------------------------ security

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("created_at_s", Double, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("expires_at_s", Double),
    Column("revoked_at_s", Double),
)

rate_state = Table(
    "rate_state",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("rate", String(16), primary_key=True),
    Column("tat_ns", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("detail", Text, nullable=False),
)

# ------------------------------------------------------------------ calls

calls = Table(
    "calls",
    metadata,
    Column("session_id", String(256), primary_key=True),
    Column("call_id", String(256), nullable=False),
    Column("tenant", String(128), nullable=False),
    Column("node_id", String(128), nullable=False),
    Column("profile", String(128), nullable=False),
    Column("model", String(128), nullable=False),
    Column("state", String(32), nullable=False),
    Column("end_reason", String(64), nullable=False),
    Column("accepted_at_s", Double, nullable=False),
    Column("ended_at_s", Double),
    Column("cost_micros", BigInteger, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Index("calls_call", "call_id", "accepted_at_s"),
    Index("calls_newest", "accepted_at_s", "session_id"),
)

transcripts = Table(
    "transcripts",
    metadata,
    Column(
        "session_id",
        String(256),
        ForeignKey("calls.session_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("who", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("item_id", String(256), nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("heard_ms", BigInteger),
)

messages = Table(
    "messages",
    metadata,
    Column("message_id", String(64), primary_key=True),
    Column("call_id", String(256), nullable=False),
    Column("for_whom", Text, nullable=False),
    Column("caller_name", Text, nullable=False),
    Column("phone_number", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at_s", Double, nullable=False),
    Index("messages_newest", "at_s"),
)

# ------------------------------------------------------------------ the cluster

cluster_ca = Table(
    "cluster_ca",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("certificate_pem", Text, nullable=False),
    Column("key_pem", Text, nullable=False),
)
"""One row: the certificate authority of the links between nodes."""

live_calls = Table(
    "live_calls",
    metadata,
    Column("session_id", String(256), primary_key=True),
    Column("call_id", String(256), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("node_id", String(128), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("spec", Text, nullable=False),
    Column("checkpoint", LargeBinary, nullable=False),
    Column("told_at_s", Double, nullable=False),
    Index("live_calls_by_token", "token_hash"),
    Index("live_calls_by_call", "call_id", unique=True),
)
"""Where each live call is, for those who go on with it when its node is lost. Whoever
takes it raises its generation; what an older one writes is refused. A call id is one live
call's in the whole cluster: whose row is there first."""

# ------------------------------------------------------------------ health

provider_health = Table(
    "provider_health",
    metadata,
    Column("provider", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("opened_at_s", Double, nullable=False),
    Column("detail", Text, nullable=False),
)

APPEND_ONLY = ("ledger", "usage", "audit")
"""Tables whose rows a trigger keeps from being changed or deleted."""
