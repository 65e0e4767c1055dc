"""Writes down what was priced; it returns nothing, so the walk ends here."""

from cloudevents.core.v1.event import CloudEvent


def handle(event: CloudEvent) -> None:
    print(f"{event.get_type()} {event.get_id()}: {event.get_data()}")
