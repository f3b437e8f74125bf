"""The gateway's tables, as SQLAlchemy Core: the same for SQLite and PostgreSQL.

Conventions: times are integers, microseconds since the Unix epoch in UTC (`*_at`), because both databases
index and compare them alike; positions are degrees times 1e7, as on the wire; `data` columns hold JSON text.
Events are append-only; `incidents.state` and `alarms` rows are derived from them and can be rebuilt.
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.keys import Wrapped

# Names for constraints, so that migrations can refer to them on every database.
metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only when the key is INTEGER; PostgreSQL wants BIGINT.
row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

owners = sa.Table(
    "owners",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("telephone", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("language", sa.Text, nullable=False, server_default="id"),
    sa.Column("registered_message", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)

relatives = sa.Table(
    "relatives",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("owner_id", sa.ForeignKey("owners.id"), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),  # an address such as mailto://…
    sa.Column("wants_tests", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)

devices = sa.Table(
    "devices",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),  # the u32 of the wire
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("root_key", Wrapped, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, server_default="button"),  # button, phone
    sa.Column("owner_id", sa.ForeignKey("owners.id"), index=True),
    sa.Column("silent", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("site_name", sa.Text),
    sa.Column("site_lat_e7", sa.BigInteger),
    sa.Column("site_lon_e7", sa.BigInteger),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("last_heard_at", sa.BigInteger),
    sa.Column("online", sa.Boolean),
    sa.Column("heartbeat", sa.Text),  # JSON of the newest heartbeat
    sa.Index("ix_devices_owner_id_site_lat_e7", "owner_id", "site_lat_e7"),  # an owner's buttons at one site
)

operators = sa.Table(
    "operators",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("password_hash", sa.Text, nullable=False),  # argon2id, in its own encoding
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False, server_default="id"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)

units = sa.Table(  # the officers that an operator can send
    "units",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("area", sa.Text),  # where it patrols, in words
    sa.Column("lat_e7", sa.BigInteger),  # its post
    sa.Column("lon_e7", sa.BigInteger),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)

sessions = sa.Table(  # of the desk's pages, and one-time login links
    "sessions",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),  # SHA-256: a stolen database logs nobody in
    sa.Column("operator_id", sa.ForeignKey("operators.id"), nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),  # session, link
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)

invitations = sa.Table(  # by which a phone becomes a device; kept after their use, which is history
    "invitations",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),  # SHA-256: a stolen database invites nobody
    sa.Column("owner_id", sa.ForeignKey("owners.id")),  # null: the person says who they are
    sa.Column("invited_by", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger),
    sa.Column("device_id", sa.ForeignKey("devices.id")),  # the phone that it made
    sa.Column("waiting", sa.Boolean, nullable=False, server_default=sa.false()),  # for somebody's approval
    sa.Column("about", sa.Text),  # who asked for it themselves, for whoever approves; gone with its use
)

replay_windows = sa.Table(
    "replay_windows",
    metadata,
    sa.Column("device_id", sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True),
    sa.Column("highest", sa.BigInteger, nullable=False),
    sa.Column("bitmap", sa.LargeBinary, nullable=False),  # 32 bytes; bit 0 is `highest`
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)

hearings = sa.Table(  # of each device by each base station: the last frames that it passed on
    "hearings",
    metadata,
    sa.Column("device_id", sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("base", sa.BigInteger, primary_key=True, autoincrement=False),  # its u32
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("rssi_dbm", sa.Integer, nullable=False),
    sa.Column("snr_db", sa.Integer, nullable=False),
    sa.Column("frames", sa.Text, nullable=False),  # JSON: its last ones, [epoch, counter, when it was heard], ...
)

bases = sa.Table(  # base stations that the gateway has had to do with
    "bases",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),  # the u32 of its settings
    sa.Column("state", sa.Text, nullable=False),  # online, silent, cut_off
    sa.Column("since_at", sa.BigInteger, nullable=False),
    sa.Column("heard_at", sa.BigInteger, nullable=False),  # its last sign of life, to a beat
    sa.Column("beat", sa.Text, nullable=False, server_default="{}"),  # JSON: what it says of itself
    sa.Column("port", sa.Text, nullable=False),
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # time-ordered (UUIDv7)
    sa.Column("device_id", sa.ForeignKey("devices.id"), nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("test", sa.Boolean, nullable=False, server_default=sa.false()),  # all its alarms are test alarms
    sa.Column("accepted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("disposition", sa.Text),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    sa.Column("merged_into", sa.Text),  # the incident in which it goes on; it is closed then, without a disposition
    sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false()),  # of a revoked device: told to no backend
    sa.Column("raised", sa.Integer, nullable=False, server_default="0"),  # presses that joined and nobody has seen
    sa.Column("promised", sa.Boolean, nullable=False, server_default=sa.false()),  # its light says sent, and nobody is
    sa.Column("erased_at", sa.BigInteger),  # its personal data was, as [retention] says
)

alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("device_id", sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("activation", sa.BigInteger, primary_key=True),
    sa.Column("incident_id", sa.ForeignKey("incidents.id"), nullable=False, index=True),
    sa.Column("pressed_at", sa.BigInteger, nullable=False),  # least of received - age
    sa.Column("received_at", sa.BigInteger, nullable=False),  # of the first frame
    sa.Column("age_is_minimum", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("silent", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("bearer", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),  # of the newest frame,
    sa.Column("counter", sa.BigInteger, nullable=False),  # which the stages answer
    sa.Column("lat_e7", sa.BigInteger),
    sa.Column("lon_e7", sa.BigInteger),
    sa.Column("accuracy_m", sa.Integer),
    sa.Column("fix_at", sa.BigInteger),
    sa.Column("battery_mv", sa.Integer),
    sa.Column("moved", sa.Boolean, nullable=False, server_default=sa.false()),  # by the newest frame
    sa.Column("doubtful", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("cancelled_at", sa.BigInteger),  # the person said that it was a mistake,
    sa.Column("duress", sa.Boolean, nullable=False, server_default=sa.false()),  # or was made to say so
    sa.Column("told_lat_e7", sa.BigInteger),  # the position that backends were told last
    sa.Column("told_lon_e7", sa.BigInteger),
    sa.Column("told_accuracy_m", sa.Integer),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("incident_id", sa.ForeignKey("incidents.id"), nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),  # device:…, backend:…, operator:…, gateway
    sa.Column("data", sa.Text, nullable=False, server_default="{}"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # also the id the destination sees, at every attempt
    sa.Column("destination", sa.Text, nullable=False),  # backend:police, device:0000a1b2
    sa.Column("incident_id", sa.ForeignKey("incidents.id"), nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # pending, done, dead
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", sa.BigInteger, nullable=False),
    sa.Column("leased_until", sa.BigInteger),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("done_at", sa.BigInteger),
    sa.Index("ix_deliveries_due", "state", "destination", "next_at"),
    sa.Index(
        "ix_deliveries_pending",
        "destination",
        "created_at",
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    ),
)

silences = sa.Table(  # destinations that do not answer when they are supervised; a row goes when they do
    "silences",
    metadata,
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("since_at", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
)

told_troubles = sa.Table(  # of devices, that a backend was told of and not yet of their end
    "told_troubles",
    metadata,
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("device_id", sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("told_at", sa.BigInteger, nullable=False),
)

troubles = sa.Table(  # what a device says is wrong with it; one row from its beginning to its end
    "troubles",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("device_id", sa.ForeignKey("devices.id"), nullable=False),
    sa.Column("kind", sa.Integer, nullable=False),  # panic_wire's number, also an unknown one
    sa.Column("value", sa.BigInteger, nullable=False),
    sa.Column("began_at", sa.BigInteger),  # null: only its end was heard of
    sa.Column("ended_at", sa.BigInteger),  # null: it lasts
    sa.Column("epoch", sa.BigInteger, nullable=False),  # of the newest frame about it
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Index("ix_troubles_device_id_kind", "device_id", "kind"),
    sa.Index("ix_troubles_ended_at", "ended_at"),
)

crashes = sa.Table(  # the last lines of a device that crashed
    "crashes",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("device_id", sa.ForeignKey("devices.id"), nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),  # its newest part came
    sa.Column("parts", sa.Text, nullable=False),  # JSON: number of the part -> its bytes as hex
)

downlink_epochs = sa.Table(  # the newest is the store's; a restored store begins another
    "downlink_epochs",
    metadata,
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),  # Unix time in seconds
)

downlink_counters = sa.Table(
    "downlink_counters",
    metadata,
    sa.Column("device_id", sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),  # the greatest that a command has
    sa.Column("time_told_at", sa.BigInteger),  # when the device was last told the time
)

commands = sa.Table(
    "commands",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("device_id", sa.ForeignKey("devices.id"), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("code", sa.Integer, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("asked_at", sa.BigInteger, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),  # waiting, sent, then done, refused, unknown or unanswered
    sa.Column("sends", sa.Integer, nullable=False, server_default="0"),
    sa.Column("sent_at", sa.BigInteger),  # the last time
    sa.Column("answered_at", sa.BigInteger),
    sa.Column("answer", sa.Text),  # JSON: {"text"} or {"lat", "lon", "accuracy_m", "fix_at"}
    sa.UniqueConstraint("device_id", "epoch", "counter"),
)

device_events = sa.Table(  # append-only, as `events`, of what was done to a device from afar
    "device_events",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("device_id", sa.ForeignKey("devices.id"), nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # command, answered, unanswered
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False, server_default="{}"),
)

inbox = sa.Table(  # signed callbacks already taken, so that a repeated one has no second effect
    "inbox",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("id", row_id, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, index=True),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),  # its first 256 bytes
)

counts = sa.Table(  # how often each thing happened; outlives what the bounded quarantine let go
    "counts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
