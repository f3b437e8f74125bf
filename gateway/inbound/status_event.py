"""What a backend's status callback must look like: a CloudEvent 1.0 with a stage of one incident."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

STATUS_TYPE = "id.sigap.incident.status.v1"
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class NotAStatus(ValueError):
    """The body is not a status callback; says which part, and what is expected there."""


class StatusData(BaseModel):
    """`data` of the event. Members that we do not know are ignored: the contract grows by adding."""

    model_config = ConfigDict(strict=True, extra="ignore")

    incident: Text
    status: Literal["accepted", "acknowledged", "dispatched", "on_scene", "closed"]
    disposition: Literal["genuine", "false", "test", "exercise", "unfounded"] | None = None
    unit: Text | None = None
    note: Annotated[str, StringConstraints(max_length=2000)] | None = None

    @model_validator(mode="after")
    def _disposition_belongs_to_closed(self) -> Self:
        if self.status == "closed" and self.disposition is None:
            raise ValueError("closed needs a disposition: genuine, false, test, exercise or unfounded")
        if self.status != "closed" and self.disposition is not None:
            raise ValueError("only closed has a disposition")
        return self

    def said(self) -> dict[str, Any]:
        """What goes into the incident's history beside the stage itself."""
        return self.model_dump(exclude={"incident", "status"}, exclude_none=True)


class StatusEvent(BaseModel):
    """The envelope (CloudEvents 1.0, section 3.1: these four are required). Extensions are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Literal["id.sigap.incident.status.v1"]
    datacontenttype: str = Field("application/json", pattern=r"^application/json\s*(;.*)?$")
    data: StatusData


def parse_status(body: bytes) -> StatusEvent:
    """Read a callback's body; NotAStatus with a sentence about the first thing that is wrong."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAStatus(f"the body is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise NotAStatus("the body is not a JSON object")
    try:
        return StatusEvent.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise NotAStatus(f"{where}: {what}" if where else what) from error
