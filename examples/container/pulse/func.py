"""Writes down what it hears of machines and visitors."""

from cloudevents.core.v1.event import CloudEvent


def handle(event: CloudEvent) -> None:
    print(f"{event.get_type()} in {event.get_extension('room')}: {event.get_data()}")
