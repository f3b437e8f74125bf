"""What the desk calls things: states, actions, dispositions, and who did something. Said in the reader's language."""

from __future__ import annotations

from typing import Any

from gateway.words import Translate

# Named here, so that they are found for translation; the templates translate.
_ = str
STATES = {
    "open": _("new"),
    "accepted": _("taken by the police's system"),
    "acknowledged": _("seen"),
    "dispatched": _("unit on its way"),
    "on_scene": _("on scene"),
    "closed": _("closed"),
    "opened": _("emergency button pressed"),
    "alarm_joined": _("pressed again"),
    "position": _("new position"),
    "press_time": _("press time put right"),
    "told": _("the button shows it"),
    "refused": _("came too late"),
    "relatives": _("a relative was told"),
    "cancelled": _("the person says that it was a mistake"),
    "alarm_left": _("goes on in another incident"),
    "seen": _("seen that it was pressed again"),
    "merged_into": _("merged: goes on in another incident"),
    "merged_from": _("another incident was merged into this one"),
    "split_off": _("a button was split off into an incident of its own"),
    "split_from": _("split off from another incident"),
    "taken": _("taken by a police system too"),
    "came_too": _("came by the other way too"),
    "not_accepted": _("NOT ACCEPTED in time by the police's system"),
}
BEARERS = {"wifi": "WiFi", "lora": "LoRa", "phone": _("phone")}
CANCELS = {
    "duress": _("DURESS"),
    "mistake": _("says it was a mistake"),
    "still_in_danger": _("pressed again after a cancel"),
    "others_in_danger": _("one says it was a mistake, another does not"),
}
DURESS_EVENT = _("CANCELLED UNDER DURESS: somebody made the person do it")
ACTIONS = {
    "acknowledged": _("I have seen it"),
    "dispatched": _("Send unit"),
    "on_scene": _("They are on scene"),
    "closed": _("Close"),
}
DISPOSITIONS = {
    "genuine": _("genuine"),
    "false": _("false alarm"),
    "test": _("test"),
    "exercise": _("exercise"),
    "unfounded": _("unfounded"),
}
TOLD = {
    "waiting": _("not told yet"),
    "told": _("told"),
    "accepted": _("accepted"),
    "failing": _("CANNOT BE TOLD NOW"),
    "dead": _("GIVEN UP"),
}
RELATIVE, BUTTON = _("a relative"), _("the button")
ACTORS = {
    "device": _("the button"),
    "backend": _("the police's system"),
    "gateway": _("Sigap"),
    "relative": _("Sigap"),
}


def actor_words(actor: str, translate: Translate) -> str:
    """Who did it, for a person: an operator by name, what is a machine by what it is."""
    kind, _colon, name = actor.partition(":")
    if kind == "operator":
        return name
    if kind == "backend":
        return f"{translate(ACTORS[kind])} ({name})"
    return translate(ACTORS.get(kind, kind))


def destination_words(name: str, translate: Translate) -> str:
    """Who is told, for a person."""
    kind, _colon, rest = name.partition(":")
    if kind == "relative":
        return f"{translate(RELATIVE)} ({rest})"
    return f"{translate(BUTTON)} ({rest})" if kind == "device" else actor_words(name, translate)


def event_words(kind: str, data: dict[str, Any], translate: Translate) -> str:
    """What happened, for the timeline."""
    if kind == "came_too":
        way = translate(BEARERS.get(data["bearer"], str(data["bearer"])))
        return f"{translate(STATES[kind])} ({way}, +{data['late_ms'] / 1000:.1f} s)"
    if kind in ("opened", "alarm_joined") and data.get("bearer") in ("lora", "phone"):
        return f"{translate(STATES[kind])} ({translate(BEARERS[data['bearer']])})"
    return translate(DURESS_EVENT if kind == "cancelled" and data.get("duress") else STATES[kind])


def said(data: dict[str, Any], translate: Translate) -> str:
    """What an actor said with it, for the timeline: the few things that a person wants."""
    parts = [str(data[key]) for key in ("unit", "relative", "note") if data.get(key)]
    if data.get("disposition"):
        parts.insert(0, translate(DISPOSITIONS[data["disposition"]]))
    if data.get("times", 1) > 1:
        parts.append(f"{data['times']}×")
    for key in ("stage", "change"):
        if data.get(key):
            word = str(data[key])
            parts.append(translate(STATES.get(word, word)))
    return " · ".join(parts)
