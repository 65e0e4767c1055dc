"""Writes an alarm down. `clarion logs alarm` shows it."""

from cloudevents.core.v1.event import CloudEvent


def handle(event: CloudEvent) -> None:
    reading = event.get_data()
    print(f"{reading['time']} {event.get_subject()}: bearing at {reading['bearing_c']} C, "
          f"{reading['rpm']} rpm")
