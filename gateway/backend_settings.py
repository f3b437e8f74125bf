"""Settings of each kind of police backend: what `[[backends]]` of the settings file may hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from gateway.setting_types import (
    AesKey,
    CapSender,
    Dc09Account,
    FeedPassword,
    HexNumber,
    Host,
    Identifier,
    OptionalHost,
    OptionalPath,
    OptionalPort,
    OptionalTopic,
    OptionalUrl,
    OptionalWebhookSecret,
    Password,
    Port,
    Says,
    Seconds,
    SecondsOrNever,
    Topic,
    Url,
    WebhookSecret,
    YesNo,
)

BACKEND = "backend:"  # a backend as a destination of the outbox and as an actor of events: backend:<name>
CA_FILE = Field(default="", description="PEM of the authority of its certificate; empty: the system's")


class Reach(NamedTuple):
    """Where a connection to it goes. secure: by TLS; ca_file: as CA_FILE. datagram: by UDP, so nothing can be tried
    without sending."""

    host: str
    port: int
    secure: bool = False
    ca_file: str = ""
    datagram: bool = False


class Backend(BaseModel):
    """A police backend that gets the alarms. Repeat the section for more."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Annotated[Literal["webhook", "dc09", "cap", "mqtt"], Says("webhook, dc09, cap or mqtt")] = Field(
        default="webhook", description="How it is spoken to"
    )
    name: Identifier = Field(description="Its name, unique here, part of its callback URL")
    receives: YesNo = Field(
        default=True, description="Whether its acceptance counts: the person's light then says that the police have it"
    )
    timeout_s: Seconds = Field(default=10.0, description="How long one attempt may take")

    @property
    def destination(self) -> str:
        """Its name in the outbox."""
        return f"{BACKEND}{self.name}"

    def lacks(self) -> str | None:
        """What else must be set, as a sentence; None when nothing."""
        return None

    @property
    def where(self) -> str:
        """Where it is, for people."""
        raise NotImplementedError

    @property
    def reach(self) -> Reach | None:
        """Where its connection goes; None where it fetches from us."""
        raise NotImplementedError


class WebBackend(Backend):
    """One that is told by HTTP."""

    allow_private: YesNo = Field(default=True, description="Whether url may lead to a private or loopback address")
    ca_file: OptionalPath = CA_FILE
    url: str

    @property
    def where(self) -> str:
        return self.url

    @property
    def reach(self) -> Reach | None:
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        return Reach(parts.hostname or "", parts.port or (443 if secure else 80), secure, self.ca_file)


class WebhookSettings(WebBackend):
    """A web system: signed POSTs to it, signed status callbacks from it."""

    kind: Annotated[Literal["webhook"], Says("webhook")] = Field(default="webhook", description="How it is spoken to")
    url: Url = Field(description="Where alarms are POSTed")
    body: Annotated[Literal["cloudevents", "eido"], Says("cloudevents or eido")] = Field(
        default="cloudevents", description="What a POST holds: Sigap's own CloudEvents, or NENA EIDO documents"
    )
    secret: WebhookSecret = Field(description="Signs what it is sent", repr=False)
    next_secret: OptionalWebhookSecret = Field(
        default="", description="Signs it too, while the far side changes its secret", repr=False
    )
    callback_secret: WebhookSecret = Field(description="Verifies its callbacks", repr=False)
    next_callback_secret: OptionalWebhookSecret = Field(
        default="", description="Verifies them too, while the far side changes", repr=False
    )


class Dc09Settings(Backend):
    """An alarm-receiving centre's receiver: SIA DC-09 over TCP or UDP."""

    kind: Annotated[Literal["dc09"], Says("dc09")] = Field(description="How it is spoken to")
    host: Host = Field(description="The receiver")
    port: Port = Field(description="Its port")
    backup_host: OptionalHost = Field(default="", description="The receiver to use while that one does not answer")
    backup_port: OptionalPort = Field(default=0, description="Its port; 0: the same port")
    transport: Annotated[Literal["tcp", "udp"], Says("tcp or udp")] = Field(default="tcp", description="TCP or UDP")
    code: Annotated[Literal["SIA-DCS", "ADM-CID"], Says("SIA-DCS or ADM-CID")] = Field(
        default="SIA-DCS", description="The code of events: SIA DC-03 or Contact ID"
    )
    account: Dc09Account = Field(
        default="", description="Account of everything we send; empty: each device's own eight hex digits"
    )
    receiver_number: HexNumber = Field(default="0", description="Receiver number, R")
    line_prefix: HexNumber = Field(default="0", description="Account prefix, L")
    key: AesKey = Field(default="", description="AES key; empty: not encrypted", repr=False)
    supervise_s: SecondsOrNever = Field(default=60, description="Seconds between supervision messages; 0: none")

    @property
    def where(self) -> str:
        return f"{self.transport}://{self.host}:{self.port}"

    @property
    def reach(self) -> Reach:
        return Reach(self.host, self.port, datagram=self.transport == "udp")


class CapSettings(WebBackend):
    """A disaster agency's feed: OASIS CAP 1.2 by POST, or fetched from us as an Atom feed."""

    kind: Annotated[Literal["cap"], Says("cap")] = Field(description="How it is spoken to")
    receives: YesNo = Field(
        default=False, description="Whether its acceptance counts: the person's light then says that the police have it"
    )
    url: OptionalUrl = Field(default="", description="Where messages are POSTed; empty: only the feed has them")
    sender: CapSender = Field(description="Who we are, in its messages")
    feed_password: FeedPassword = Field(default="", description="Opens the feed; empty: there is none", repr=False)

    def lacks(self) -> str | None:
        return None if self.url or self.feed_password else "url, feed_password or both"

    @property
    def where(self) -> str:
        return self.url or "its Atom feed"

    @property
    def reach(self) -> Reach | None:
        return super().reach if self.url else None


class MqttSettings(Backend):
    """A message bus: CloudEvents over MQTT 5 to another broker."""

    kind: Annotated[Literal["mqtt"], Says("mqtt")] = Field(description="How it is spoken to")
    host: Host = Field(description="The broker")
    port: Port = Field(default=8883, description="Its port")
    tls: YesNo = Field(default=True, description="Whether the connection is encrypted")
    ca_file: OptionalPath = CA_FILE
    username: Annotated[Password, Says("one line, at most 200 characters, or empty")] = Field(
        default="", description="Our login there"
    )
    password: Password = Field(default="", description="Our password there", repr=False)
    topic: Topic = Field(default="sigap/incidents", description="Where events are published")
    reply_topic: OptionalTopic = Field(
        default="", description="Where it answers; empty: the broker's word is all there is, and nobody accepts"
    )
    mode: Annotated[Literal["structured", "binary"], Says("structured or binary")] = Field(
        default="structured", description="Content mode of CloudEvents"
    )

    @property
    def where(self) -> str:
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}/{self.topic}"

    @property
    def reach(self) -> Reach:
        return Reach(self.host, self.port, self.tls, self.ca_file)


KINDS: dict[str, type[Backend]] = {
    "webhook": WebhookSettings,
    "dc09": Dc09Settings,
    "cap": CapSettings,
    "mqtt": MqttSettings,
}
DEFAULT_KIND = "webhook"


def kind_of(value: Any) -> str:
    """The kind that a [[backends]] section says, or the default; an unknown one stays what it is."""
    kind = value.get("kind", DEFAULT_KIND) if isinstance(value, dict) else getattr(value, "kind", DEFAULT_KIND)
    return kind if isinstance(kind, str) else DEFAULT_KIND


AnyBackend = Annotated[
    Annotated[WebhookSettings, Tag("webhook")]
    | Annotated[Dc09Settings, Tag("dc09")]
    | Annotated[CapSettings, Tag("cap")]
    | Annotated[MqttSettings, Tag("mqtt")],
    Discriminator(kind_of),
]
