"""The gateway's settings: one TOML file, with environment variables on top, checked before anything starts.

`SIGAP_BROKER__PORT=1883` goes before `port` in `[broker]`, `SIGAP_BACKENDS__0__URL` before the first
backend's `url`. What is wrong is one Problem: the file (or variable), the key, what is expected, what to do.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo

from gateway.backend_settings import KINDS, AnyBackend, Backend
from gateway.setting_types import (
    Count,
    Days,
    Host,
    Identifier,
    Months,
    OptionalBaseUrl,
    OptionalHost,
    OptionalMail,
    OptionalPath,
    OptionalPort,
    OptionalWebSocket,
    Password,
    PathText,
    Port,
    Ports,
    Says,
    StoreUrl,
    TimeZone,
    Username,
)
from sigap.problem import USAGE, Problem

DEFAULT_PATH = Path("sigap.toml")
ENVIRONMENT_PREFIX = "SIGAP_"
MASK = "********"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GatewaySettings(_Section):
    """This gateway."""

    data_dir: PathText = Field(default="var", description="Folder of database and broker files, from here")
    name: Identifier = Field(default="polres-semarang", description="Who this gateway is, in what backends get")
    time_zone: TimeZone = Field(default="Asia/Jakarta", description="The district's zone, for times that people read")
    log_level: Annotated[Literal["debug", "info", "warning"], Says("debug, info or warning")] = Field(
        default="info", description="How much the log says"
    )


class BrokerSettings(_Section):
    """The MQTT broker. `sigap broker` runs Mosquitto with these."""

    host: Host = Field(default="127.0.0.1", description="Where the gateway finds the broker")
    port: Port = Field(default=18883, description="Port of the broker for the devices, without TLS")
    gateway_port: OptionalPort = Field(default=0, description="Port for the gateway alone; 0: it uses `port` too")
    phone_port: OptionalPort = Field(default=0, description="WebSocket port for phones, on this machine; 0: none")
    bind: Host = Field(default="127.0.0.1", description="Address `sigap broker` listens on; 0.0.0.0 lets buttons in")
    device_host: OptionalHost = Field(default="", description="Where devices find the broker; empty: at `host`")
    tls_port: OptionalPort = Field(default=0, description="Port of the TLS listener for devices; 0: there is none")
    most_clients: Count = Field(default=20000, description="Connections that each port for devices or phones takes")
    username: Username = Field(default="gateway", description="The gateway's login")
    password: Password = Field(default="", description="The gateway's password", repr=False)

    @property
    def port_of_gateway(self) -> int:
        """Where the gateway connects."""
        return self.gateway_port or self.port


class HttpSettings(_Section):
    """The gateway's HTTP server: the desk, backends' callbacks, health and metrics."""

    host: Host = Field(default="127.0.0.1", description="Address of the HTTP server: desk, callbacks, health")
    port: Port = Field(default=8470, description="Port of the HTTP server")


class BasesSettings(_Section):
    """Base stations for LoRa."""

    ports: Ports = Field(default="", description="Serial ports of base stations, with commas between; empty: none")

    @property
    def listed(self) -> list[str]:
        """Each port."""
        return [each.strip() for each in self.ports.split(",") if each.strip()]


class PhoneSettings(_Section):
    """The SOS page for phones. Browsers want HTTPS, from a server in front of this one."""

    url: OptionalBaseUrl = Field(default="", description="Where phones find this gateway; empty: on this machine")
    broker_url: OptionalWebSocket = Field(
        default="", description="The broker's WebSocket; empty: /mqtt over HTTPS, else `phone_port` on this machine"
    )
    relative_mail: OptionalMail = Field(
        default="", description="Apprise address that mails a relative at {to}; empty: phones name none", repr=False
    )
    self_registration: Annotated[Literal["closed", "approved", "open"], Says("closed, approved or open")] = Field(
        default="closed", description="Whether people register themselves; approved: somebody at the desk says yes"
    )
    code_channel: OptionalMail = Field(
        default="", description="Apprise address that sends a one-time code to {to}, by mail or SMS", repr=False
    )
    most_a_day: Count = Field(default=200, description="How many people may register themselves in 24 hours")


class StoreSettings(_Section):
    """The database."""

    url: StoreUrl = Field(default="", description="Database URL; empty: SQLite, sigap.db in data_dir", repr=False)
    master_key: OptionalPath = Field(default="", description="File of the master key; empty: master.key in data_dir")


class RetentionSettings(_Section):
    """What is erased by itself, and when."""

    incident_months: Months = Field(
        default=0, description="Months until a closed incident loses its personal data; 0: never"
    )
    quarantine_days: Days = Field(default=90, description="Days until a refused message is deleted")
    crash_days: Days = Field(default=180, description="Days until the last lines of a crashed device are deleted")


class Settings(_Section):
    """Everything; immutable. Made by `load_settings`, or directly in tests."""

    gateway: GatewaySettings = GatewaySettings()
    broker: BrokerSettings = BrokerSettings()
    http: HttpSettings = HttpSettings()
    store: StoreSettings = StoreSettings()
    bases: BasesSettings = BasesSettings()
    phone: PhoneSettings = PhoneSettings()
    retention: RetentionSettings = RetentionSettings()
    backends: tuple[AnyBackend, ...] = ()

    _file: Path | None = PrivateAttr(default=None)
    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """Absolute; None for settings that were not loaded."""
        return self._file

    @property
    def data_dir(self) -> Path:
        """Absolute. A relative `data_dir` is seen from the settings file's folder."""
        return (self._folder / Path(self.gateway.data_dir).expanduser()).absolute()

    @property
    def store_url(self) -> str:
        """What `open_store` takes: the database, and the master key where that is not beside it."""
        url = self.store.url or f"sqlite:///{quote(str(self.data_dir / 'sigap.db'))}"
        if not self.store.url and not self.store.master_key:
            return url
        return f"{url}{'&' if '?' in url else '?'}master_key={quote(str(self.master_key), safe='')}"

    @property
    def master_key(self) -> Path:
        """Absolute. A relative one is seen from the settings file's folder."""
        asked = self.store.master_key
        return (self._folder / Path(asked).expanduser()).absolute() if asked else self.data_dir / "master.key"

    @property
    def broker_dir(self) -> Path:
        """Where the broker's configuration, passwords and pid file are."""
        return self.data_dir / "broker"

    @property
    def phone_base(self) -> str:
        """Where phones find this gateway."""
        return self.phone.url or f"http://{self.http.host}:{self.http.port}"

    @property
    def device_broker_host(self) -> str:
        """What provisioning tells a device."""
        return self.broker.device_host or self.broker.host

    def secrets(self) -> list[str]:
        """Every value that must not be shown."""
        parts = [part for name in SECTIONS for part in _parts(getattr(self, name))]
        keys = [(part, key) for part in parts for key in type(part).model_fields if says(type(part), key).secret]
        return [value for part, key in keys if (value := getattr(part, key))]

    def origin(self, key: str) -> str:
        """Where the value of a key such as broker.port comes from: a file, a variable, or `default`."""
        return self._origins.get(key, "default")


SECTIONS: dict[str, type[BaseModel]] = {
    "gateway": GatewaySettings,
    "broker": BrokerSettings,
    "http": HttpSettings,
    "store": StoreSettings,
    "bases": BasesSettings,
    "phone": PhoneSettings,
    "retention": RetentionSettings,
    "backends": Backend,
}


def _parts(value: Any) -> tuple[BaseModel, ...]:
    return value if isinstance(value, tuple) else (value,)


def models(section: str) -> list[type[BaseModel]]:
    """What a section may be: one model, or one for each kind of backend."""
    return list(KINDS.values()) if section == "backends" else [SECTIONS[section]]


def says(model: type[BaseModel], key: str) -> Says:
    """What a key of a section's model expects; what the field itself says goes before what its type says."""
    return [item for item in model.model_fields[key].metadata if isinstance(item, Says)][-1]


def _fields(section: str) -> dict[str, FieldInfo]:
    """Every key that a section may have; of backends those of all kinds."""
    return {key: field for model in models(section) for key, field in model.model_fields.items()}


def load_settings(path: Path | str = DEFAULT_PATH, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the file, put the environment on top, check everything. Raises Problem (exit code 2)."""
    path = Path(path)
    tree = _read(path)
    origins = {key: str(path) for key in _keys(tree)}
    _put_on_top(tree, origins, environment)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise _problem(error, path, origins) from None  # its text would show the values, secrets too
    names = [backend.name for backend in settings.backends]
    for name in names:
        if names.count(name) > 1:
            raise Problem(f"{path}: two [[backends]] have the name {name}", "Rename one of them", USAGE)
    for number, backend in enumerate(settings.backends, 1):
        if lacking := backend.lacks():
            raise Problem(f"{path}: [[backends]] number {number} lacks {lacking}", f"Set it in {path}", USAGE)
    settings = settings.model_copy(update={"backends": tuple(_placed(each, path) for each in settings.backends)})
    settings._file, settings._folder, settings._origins = path.absolute(), path.absolute().parent, origins
    return settings


def _placed(backend: Any, path: Path) -> Any:
    """With its ca_file absolute: a relative one is seen from the settings file's folder."""
    asked = getattr(backend, "ca_file", "")
    if not asked:
        return backend
    return backend.model_copy(update={"ca_file": str((path.absolute().parent / Path(asked).expanduser()).absolute())})


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        todo = "Write one with `sigap config init`, or name yours with --config"
        raise Problem(f"there is no settings file {path}", todo, USAGE) from None
    except OSError as error:
        todo = "Give this user the right to read it, or name another with --config"
        raise Problem(f"the settings file {path} cannot be read: {error.strerror}", todo, USAGE) from error
    except UnicodeDecodeError as error:
        raise Problem(f"{path}: byte {error.start} is not UTF-8", "Save it as UTF-8", USAGE) from error
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path} is not TOML: {error}", "Correct that line", USAGE) from error


def _keys(tree: dict[str, Any]) -> list[str]:
    """Every dotted key in the tree; backends.0.url for lists."""
    found: list[str] = []
    for section, values in tree.items():
        parts = enumerate(values) if isinstance(values, list) else [(None, values)]
        for index, part in parts:
            prefix = section if index is None else f"{section}.{index}"
            found.append(prefix)
            if isinstance(part, dict):
                found.extend(f"{prefix}.{key}" for key in part)
    return found


def _put_on_top(tree: dict[str, Any], origins: dict[str, str], environment: Mapping[str, str]) -> None:
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        section, *rest = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        index = int(rest.pop(0)) if section == "backends" and rest and rest[0].isdecimal() else None
        key = rest[0] if len(rest) == 1 else None
        model = SECTIONS.get(section)
        if model is None or key not in _fields(section) or (section == "backends") != (index is not None):
            near = difflib.get_close_matches(variable, _variables(), 1, 0.8)
            todo = f"Unset it, or use {ENVIRONMENT_PREFIX}SECTION__KEY (for backends SIGAP_BACKENDS__0__KEY)"
            todo = f"Did you mean {near[0]}" if near else todo
            raise Problem(f"the environment variable {variable} names no setting", todo, USAGE)
        target: Any = tree.setdefault(section, {} if index is None else [])
        if index is not None:
            if not isinstance(target, list):
                continue  # what the file has there is the problem, and is said as such
            if index > len(target):
                raise Problem(f"the environment variable {variable} skips a backend", "Count from 0", USAGE)
            if index == len(target):
                target.append({})
            target = target[index]
        if isinstance(target, dict):
            target[key] = _typed(section, key, environment[variable])
            origins[section if index is None else f"{section}.{index}"] = variable
            origins[f"{section}.{key}" if index is None else f"{section}.{index}.{key}"] = variable


def _variables() -> list[str]:
    names = {section: f"{section}__0" if section == "backends" else section for section in SECTIONS}
    keys = [(names[section], key) for section in SECTIONS for key in _fields(section)]
    return [f"{ENVIRONMENT_PREFIX}{section}__{key}".upper() for section, key in keys]


def _typed(section: str, key: str, text: str) -> Any:
    """A variable's text as a number or truth value where the key wants one; as it is when it does not fit."""
    kind = _fields(section)[key].annotation
    try:
        return text if kind not in (int, float, bool) else TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return text


def _problem(error: ValidationError, path: Path, origins: dict[str, str]) -> Problem:
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    tag = [str(part) for part in first["loc"]]
    # Of a backend the third part is its kind, which no key is called.
    location = tag[:2] + tag[3:] if tag[0] == "backends" and len(tag) > 2 else tag
    section, key, dotted = location[0], location[-1], ".".join(location)
    model = SECTIONS.get(section)
    if section == "backends" and len(tag) > 2:
        model = KINDS[tag[2]]
    origin = origins.get(dotted, str(path))
    where = f"[[backends]] number {int(location[1]) + 1}" if len(tag) > 1 and section == "backends" else f"[{section}]"
    more = f" (and {len(others)} more)" if others else ""
    correct = f"Correct it in {path}" if origin == str(path) else f"Correct or unset {origin}"
    if first["type"] == "union_tag_invalid":
        asked = origins.get(f"{dotted}.kind", str(path))
        todo = f"Correct it in {path}" if asked == str(path) else f"Correct or unset {asked}"
        return Problem(f"{asked}: {where} kind must be {says(Backend, 'kind').expected}{more}", todo, USAGE)
    if first["type"] == "extra_forbidden":
        choices = list(SECTIONS if len(location) == 1 or model is None else model.model_fields)
        close = difflib.get_close_matches(key, choices, 1)
        if not close and len(location) > 1:  # perhaps it is right, and its section wrong
            elsewhere = [(other, name) for name in SECTIONS for other in _fields(name)]
            near = difflib.get_close_matches(key, [other for other, _ in elsewhere], 1, 0.8)
            close = [f"{other} in [{name}]" for other, name in elsewhere if [other] == near]
        todo = f"Did you mean {close[0]}" if close else f"Use one of {', '.join(choices)}"
        what = f"unknown key {key}" if len(location) == 1 else f"{where} has the unknown key {key}"
    elif first["type"] == "missing" and model is not None:
        what, todo = f"{where} lacks {key}", f"Set it to {says(model, key).expected}"
    elif model is not None and key in model.model_fields:
        what, todo = f"{where} {key} must be {says(model, key).expected}", correct
    else:
        kind = "[[backends]]" if section == "backends" else f"[{section}]"
        what, todo = f"{section} must be a section", f"Write {kind} on a line of its own, its keys below"
    return Problem(f"{origin}: {what}{more}", todo, USAGE)
