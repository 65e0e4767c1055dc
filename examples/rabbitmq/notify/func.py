"""Writes down who waited too long. `clarion logs notify` shows it."""

from cloudevents.core.v1.event import CloudEvent


def handle(event: CloudEvent) -> None:
    parcel = event.get_data()
    print(f"{event.get_subject()} was {parcel['late_h']} h late in {parcel['depot']}")
