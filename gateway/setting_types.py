"""The kinds of values that settings have: what each accepts, and how that is said to a person."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, Strict


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError
    if parts.port == 0 or re.search(r"\s", text):  # .port itself raises ValueError beyond 65535
        raise ValueError
    return text


def _webhook_secret(text: str) -> str:
    kind, _, encoded = text.partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if kind != "whsec" or not 24 <= len(key) <= 64:
        raise ValueError
    return text


def _optional_webhook_secret(text: str) -> str:
    return text and _webhook_secret(text)


def _optional_url(text: str) -> str:
    return text and _url(text)


def _aes_key(text: str) -> str:
    if text and (not re.fullmatch(r"[0-9A-Fa-f]+", text) or len(text) not in (32, 48, 64)):
        raise ValueError
    return text.upper()


def _dc09_account(text: str) -> str:
    if text and not re.fullmatch(r"[0-9A-Fa-f]{3,16}", text):
        raise ValueError
    return text.upper()


def _hex_number(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{1,6}", text):
        raise ValueError
    return text.upper()


def _cap_sender(text: str) -> str:
    # CAP 1.2, 3.2.1: no spaces, no commas, neither < nor &.
    if not re.fullmatch(r"[A-Za-z0-9._:@/-]{1,100}", text):
        raise ValueError
    return text


def _topic(text: str) -> str:
    # MQTT 5, 4.7: a topic name has no wildcards; what begins with $ is the broker's own.
    if not text or len(text.encode()) > 200 or not text.isprintable() or re.search(r"[#+]|^\$", text):
        raise ValueError
    return text


def _optional_topic(text: str) -> str:
    return text and _topic(text)


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", text):
        raise ValueError
    return text


def _line(text: str) -> str:
    if not text.isprintable() or text != text.strip() or len(text) > 200:
        raise ValueError
    return text


def _username(text: str) -> str:
    # Eight hex digits would be a device's name at the broker.
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) or re.fullmatch(r"[0-9a-f]{8}", text):
        raise ValueError
    return text


def _feed_password(text: str) -> str:
    if text and len(_line(text)) < 12:
        raise ValueError
    return text


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError
    return text


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError
    return text


def _optional_path(text: str) -> str:
    return text and _path(text)


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError from error
    return text


def _optional_host(text: str) -> str:
    return text and _host(text)


def _optional_mail(text: str) -> str:
    if text and ("{to}" not in text or not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S{1,490}", text)):
        raise ValueError
    return text


def _optional_base_url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]{1,253}", text):
        raise ValueError
    return text


def _optional_web_socket(text: str) -> str:
    if text and not re.fullmatch(r"wss?://[A-Za-z0-9._:\[\]-]{1,253}(/[A-Za-z0-9._/-]{0,100})?", text):
        raise ValueError
    return text


@dataclass(frozen=True)
class Says:
    """Rides on a field's type: what is expected, in words, and whether the value must not be shown."""

    expected: str
    secret: bool = False


_Text = Annotated[str, Strict()]
PathText = Annotated[_Text, AfterValidator(_path), Says("a folder's path")]
OptionalPath = Annotated[_Text, AfterValidator(_optional_path), Says("a file's path, or empty")]
Ports = Annotated[_Text, Says("paths of serial ports with commas between, or empty")]
Host = Annotated[_Text, AfterValidator(_host), Says("a host name or IP address")]
OptionalHost = Annotated[_Text, AfterValidator(_optional_host), Says("a host name or IP address, or empty")]
OptionalBaseUrl = Annotated[
    _Text, AfterValidator(_optional_base_url), Says("https:// and a host, without a path, or empty")
]
OptionalWebSocket = Annotated[_Text, AfterValidator(_optional_web_socket), Says("a wss:// address, or empty")]
OptionalMail = Annotated[
    _Text, AfterValidator(_optional_mail), Says("an Apprise address with {to} in it, or empty", secret=True)
]
Port = Annotated[int, Strict(), Field(ge=1, le=65535), Says("a whole number from 1 to 65535")]
OptionalPort = Annotated[int, Strict(), Field(ge=0, le=65535), Says("a whole number from 0 to 65535")]
Count = Annotated[int, Strict(), Field(ge=1, le=1_000_000), Says("a whole number from 1 to 1000000")]
Identifier = Annotated[
    _Text, AfterValidator(_identifier), Says("1 to 63 of a-z, 0-9 and hyphen, such as polres-semarang")
]
Username = Annotated[
    _Text,
    AfterValidator(_username),
    Says("1 to 64 letters, digits, dots, hyphens; not eight hex digits"),
]
Password = Annotated[_Text, AfterValidator(_line), Says("one line, at most 200 characters", secret=True)]
FeedPassword = Annotated[
    _Text, AfterValidator(_feed_password), Says("one line of 12 to 200 characters, or empty", secret=True)
]
Url = Annotated[_Text, AfterValidator(_url), Says("an http or https URL without user name, as https://host/alarms")]
WebhookSecret = Annotated[
    _Text, AfterValidator(_webhook_secret), Says("whsec_ and 24 to 64 bytes in base64", secret=True)
]
OptionalWebhookSecret = Annotated[
    _Text, AfterValidator(_optional_webhook_secret), Says("whsec_ and 24 to 64 bytes in base64, or empty", secret=True)
]
OptionalUrl = Annotated[_Text, AfterValidator(_optional_url), Says("an http or https URL without user name, or empty")]
AesKey = Annotated[_Text, AfterValidator(_aes_key), Says("32, 48 or 64 hex digits, or empty", secret=True)]
Dc09Account = Annotated[_Text, AfterValidator(_dc09_account), Says("3 to 16 hex digits, or empty")]
HexNumber = Annotated[_Text, AfterValidator(_hex_number), Says("1 to 6 hex digits")]
CapSender = Annotated[
    _Text, AfterValidator(_cap_sender), Says("letters, digits and ._:@/- without spaces, such as polres@example.id")
]
Topic = Annotated[_Text, AfterValidator(_topic), Says("an MQTT topic without + and #")]
OptionalTopic = Annotated[_Text, AfterValidator(_optional_topic), Says("an MQTT topic without + and #, or empty")]
TimeZone = Annotated[_Text, AfterValidator(_time_zone), Says("a time zone of the IANA list, such as Asia/Jakarta")]
Seconds = Annotated[float, Strict(), Field(gt=0, le=60), Says("seconds, more than 0 and at most 60")]
SecondsOrNever = Annotated[int, Strict(), Field(ge=0, le=86_400), Says("whole seconds up to 86400; 0: never")]
Months = Annotated[int, Strict(), Field(ge=0, le=600), Says("a whole number of months up to 600; 0: for ever")]
Days = Annotated[int, Strict(), Field(ge=1, le=3650), Says("a whole number of days from 1 to 3650")]
YesNo = Annotated[bool, Strict(), Says("true or false")]
# A database URL may hold a password.
StoreUrl = Annotated[_Text, AfterValidator(_line), Says("a database URL, or empty", secret=True)]
