"""Prices an order: what it returns goes back to the broker as an event of its own."""

from cloudevents.core.v1.event import CloudEvent

PRICES = {"A1": 12.5, "B2": 3.0}


def handle(event: CloudEvent) -> CloudEvent:
    order = event.get_data()
    total = PRICES.get(order["sku"], 0.0) * order["qty"]
    print(f"{order['qty']} x {order['sku']} = {total}")
    attributes = {"id": f"{event.get_id()}-priced", "type": "order.priced", "source": "/price"}
    return CloudEvent(attributes, order | {"total": total})
