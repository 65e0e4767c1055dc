"""Looks at one reading of a pump; too hot a bearing is an event of its own, anything else ends here."""

from cloudevents.core.v1.event import CloudEvent

LIMIT_C = 85.0


def handle(event: CloudEvent) -> CloudEvent | None:
    reading = event.get_data()
    if float(reading["bearing_c"]) <= LIMIT_C:
        return None
    pump = event.get_extension("key")  # the record's key
    attributes = {"id": f"{event.get_id()}-hot", "type": "pump.overheated", "source": f"/pumps/{pump}",
                  "subject": pump}
    return CloudEvent(attributes, reading)
