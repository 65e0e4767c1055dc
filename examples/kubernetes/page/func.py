"""Tells somebody; here, the log."""

from cloudevents.core.v1.event import CloudEvent


def handle(event: CloudEvent) -> None:
    print(f"ALARM {event.get_subject()}: {event.get_data()['why']}")
