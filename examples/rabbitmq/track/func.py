"""Looks at the delivery of one parcel; one that came late is an event of its own, anything else ends here."""

import datetime as dt

from cloudevents.core.v1.event import CloudEvent

PROMISED = dt.timedelta(days=2)


def handle(event: CloudEvent) -> CloudEvent | None:
    scan = event.get_data()
    took = dt.datetime.fromisoformat(scan["scanned"]) - dt.datetime.fromisoformat(scan["posted"])
    if took <= PROMISED:
        return None
    attributes = {"id": f"{event.get_id()}-late", "type": "parcel.late", "source": "/track",
                  "subject": event.get_subject()}
    late_h = round((took - PROMISED).total_seconds() / 3600)
    return CloudEvent(attributes, {"depot": scan["depot"], "late_h": late_h})
