"""Looks at a change of settings; what is alarming is an event of its own, anything else ends here."""

from cloudevents.core.v1.event import CloudEvent


def handle(event: CloudEvent) -> CloudEvent | None:
    what, name = event.get_type().rpartition(".")[2], event.get_extension("name")
    settings = event.get_data().get("data") or {}
    print(f"{name}: {what} {settings}")
    if what == "delete":
        why = "its settings were deleted"
    elif settings.get("payments") == "off":
        why = "payments are off"
    else:
        return None
    attributes = {"id": f"{event.get_id()}-alarm", "type": "settings.alarm", "source": "/review",
                  "subject": name}
    return CloudEvent(attributes, {"why": why})
