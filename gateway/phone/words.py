"""The SOS page's words, by the name that its template and scripts use: few, plain, and the same mechanism as the
desk's."""

from __future__ import annotations


def _(text: str) -> str:
    """Marks a text for translation."""
    return text


WORDS = {
    "title": _("SOS to the police"),
    "sos": _("SOS"),
    "tap3": _("Tap 3 times"),
    "tap2": _("2 more times"),
    "tap1": _("1 more time"),
    "call110": _("Call 110"),
    "no_way": _("This phone does not reach the police now. In danger: call 110."),
    "sending": _("Sending. Stay where you are safe."),
    "unsent": _("NOT THROUGH YET. Call 110 now. This page keeps trying."),
    "receipt": _("Received. The police are being told."),
    "accepted": _("The police's system has it."),
    "acknowledged": _("An officer has seen it."),
    "dispatched": _("Officers are on their way."),
    "on_scene": _("Officers are there."),
    "closed": _("Closed."),
    "cancel": _("A mistake? Hold for 5 seconds"),
    "cancelling": _("Telling the police that it was a mistake."),
    "cancelled": _("The police know that it was a mistake. They may still call."),
    "nav_test": _("Try it"),
    "nav_history": _("History"),
    "test_title": _("Try it: nobody comes"),
    "test_text": _("This is not the SOS button. The police see at once that you are only trying."),
    "test_button": _("TRY"),
    "test_sending": _("Trying: on its way."),
    "test_unsent": _("Not through yet. Is there a network?"),
    "test_receipt": _("It works: the gateway has it."),
    "test_accepted": _("It works: the police's system has it."),
    "test_acknowledged": _("An officer has seen your trial."),
    "test_done": _("Done. Your SOS is ready"),
    "first_text": _("You see the way that your SOS takes, and nobody comes. After it the SOS button is yours."),
    "enrol_title": _("Register this phone"),
    "enrol_for": _("This phone will be registered for:"),
    "name": _("Your name"),
    "telephone": _("Your telephone number"),
    "address": _("Your address"),
    "message": _("What your relatives are to read (may be empty)"),
    "relative": _("A relative's name (may be empty)"),
    "relative_mail": _("That relative's e-mail"),
    "enrol": _("Register"),
    "enrolling": _("Registering …"),
    "consent": _(
        "The police see your name, number, address and position when you send an SOS. "
        "Without an SOS your position goes nowhere."
    ),
    "gone": _("This invitation was used, or is too old. Ask for another."),
    "none_title": _("This phone is not registered"),
    "none_text": _("Ask your police station or technician for an invitation, and scan its picture."),
    "or_self": _("Or register yourself"),
    "contact": _("Your e-mail or telephone number, for a code"),
    "send_code": _("Send me a code"),
    "code": _("The 6 digits of the code"),
    "check_code": _("Go on"),
    "wrong_code": _("That is not the code. Ask for another after five tries."),
    "too_many": _("Too many tries. Come again in an hour."),
    "waiting": _("An officer has to say yes first. Keep this page; it goes on by itself."),
    "failed": _("That did not work. Is there a network? Try again."),
    "wrong": _("Please correct:"),
    "history_title": _("What was sent"),
    "history_none": _("Nothing was sent yet."),
    "history_sos": _("SOS"),
    "history_test": _("Trial"),
    "history_mistake": _("a mistake"),
    "pressed": _("tapped"),
    "silent": _("Silent: no sound, no vibration, a dark picture"),
    "place_denied": _("This phone may not say where you are. Allow the location in the browser's settings."),
    "place_none": _("Where you are is not known yet."),
    "place": _("Your position is known to within"),
    "forget": _("Delete my data"),
    "forget_sure": _(
        "This phone is removed, and your name, number, address and relatives are deleted. What was sent in an SOS, the "
        "police keep as long as their rules say. To come back you need an invitation."
    ),
    "forget_open": _("An SOS of yours is still open. Afterwards you can delete your data."),
    "store_full": _("This phone's memory is full or private: keep this page open until it is through."),
}
