"""What cloudevents.py makes, as models: for the JSON Schema, OpenAPI and AsyncAPI descriptions that integrators get.

Members may be added to the contract: whoever reads must ignore what it does not know.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.incidents.stages import DISPOSITIONS

Time = Annotated[
    str,
    Field(
        description="RFC 3339 in UTC with milliseconds",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        examples=["2026-11-24T03:40:41.250Z"],
    ),
]
DeviceName = Annotated[str, Field(description="A button: eight hex digits", pattern=r"^[0-9a-f]{8}$")]
Disposition = Literal["genuine", "false", "test", "exercise", "unfounded"]
assert set(DISPOSITIONS) == set(Disposition.__args__)  # pyright: ignore[reportAttributeAccessIssue]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class Owner(_Part):
    """Whose button it is."""

    name: str
    telephone: str | None
    address: str | None
    language: str = Field(description="The person's language, such as id")
    registered_message: str | None = Field(description="What the person wants relatives to read")


class Position(_Part):
    """Where the button is believed to be."""

    lat: float | None = Field(ge=-90, le=90, description="Degrees, WGS 84")
    lon: float | None = Field(ge=-180, le=180, description="Degrees, WGS 84")
    accuracy_m: int | None = Field(description="Metres, radius")
    source: Literal["gps", "site"] | None = Field(description="gps: measured; site: where it is mounted")
    fix_at: Time | None = Field(description="When it was measured")


class Alarm(_Part):
    """One activation of a button: three presses."""

    alarm: str = Field(description="Its identity: device and activation", pattern=r"^[0-9a-f]{8}-\d+$")
    activation: int
    pressed_at: Time
    age_is_minimum: bool = Field(description="It was pressed then or earlier")
    received_at: Time
    silent: bool
    bearer: str = Field(description="How its first frame came", examples=["wifi"])
    battery_mv: int | None
    moved: bool = Field(description="A mounted button is not where it was mounted")
    doubtful: bool = Field(description="Its newest position was impossible")
    cancelled_at: Time | None
    duress: bool = Field(description="The person was made to cancel")


class Cancel(_Part):
    """What the person said by a long hold."""

    says: Literal["mistake", "duress", "still_in_danger", "others_in_danger"]
    at: Time


class Button(_Part):
    """What is known of one button of an incident."""

    device: DeviceName
    device_name: str
    device_revoked: bool = Field(description="Taken out of service, perhaps lost or stolen")
    owner: Owner | None
    site: str | None = Field(description="Where it is mounted, in words")
    position: Position


class IncidentData(Button):
    """The whole incident as it stands."""

    incident: str = Field(description="The incident's id, the same for ever")
    change: str = Field(description="What happened", examples=["opened", "position", "dispatched"])
    test: bool = Field(description="Nobody is in danger: the button was tried")
    state: Literal["open", "acknowledged", "dispatched", "on_scene", "closed"]
    accepted: bool
    disposition: Disposition | None
    opened_at: Time
    merged_into: str | None
    other_incident: str | None = Field(
        description="That with which it was merged, or from which it was split, just now"
    )
    silent: bool = Field(description="Somebody dangerous may be watching: do not telephone the place")
    cancel: Cancel | None
    alarms: list[Alarm] = Field(description="The first and the newest 19")
    alarms_left_out: int | None = Field(default=None, description="How many of more than 20 are not in the list")
    other_devices: list[Button]


class IncidentEvent(_Part):
    """CloudEvents 1.0 (JSON format), one for each thing that happened to an incident."""

    specversion: Literal["1.0"]
    id: str = Field(description="The delivery's id, the same at every attempt")
    source: str = Field(description="The gateway", examples=["urn:sigap:gateway:polres-semarang"])
    type: str = Field(pattern=r"^id\.sigap\.incident\.(opened|updated|cancelled|merged|split)\.v1$")
    subject: str = Field(description="The incident's id")
    time: Time
    datacontenttype: Literal["application/json"]
    data: IncidentData
