"""The data plane of a Broker: events come in, are kept, and go to the triggers that want them."""
