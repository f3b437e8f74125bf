"""What a phone sends at its enrolment, checked."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.registry.devices import ROOT_KEY_BYTES
from gateway.registry.phones import MOST_RELATIVES, Person
from gateway.words import DEFAULT
from sigap.problem import USAGE, Problem

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class RelativeSaid(BaseModel):
    """Somebody who is to be told."""

    model_config = ConfigDict(extra="forbid")
    name: Said
    mail: Annotated[str, StringConstraints(pattern=r"^[^@\s/?&:]{1,64}@[A-Za-z0-9.-]{1,100}$")]


class PersonSaid(BaseModel):
    """Who the phone belongs to."""

    model_config = ConfigDict(extra="forbid")
    name: Said
    telephone: Text = ""
    address: Text = ""
    registered_message: Text = ""
    relatives: list[RelativeSaid] = Field(default_factory=list, max_length=MOST_RELATIVES)


class Enrolment(BaseModel):
    """The body of POST /sos/enrol."""

    model_config = ConfigDict(extra="forbid")
    invitation: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    root_key: Annotated[str, StringConstraints(max_length=32)]  # base64url of 16 bytes that the phone drew
    language: str = DEFAULT
    person: PersonSaid | None = None

    def key(self) -> bytes:
        """The root key; a Problem when it is none."""
        try:
            key = base64.urlsafe_b64decode(self.root_key + "=" * (-len(self.root_key) % 4))
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != ROOT_KEY_BYTES:
            raise Problem("the phone's key is none", f"Send {ROOT_KEY_BYTES} random bytes as base64url", USAGE)
        return key

    def whose(self, relative_mail: str) -> Person | None:
        """relative_mail: the Apprise address with {to} that relatives are told by; without one they are left out."""
        said = self.person
        if said is None:
            return None
        return Person(
            name=said.name,
            telephone=said.telephone or None,
            address=said.address or None,
            language=self.language,
            registered_message=said.registered_message or None,
            relatives=tuple(
                (each.name, relative_mail.replace("{to}", quote(each.mail, safe="@")))
                for each in said.relatives
                if relative_mail
            ),
        )
