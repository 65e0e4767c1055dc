"""
What is run: brokers, triggers, the function, who gets what, and what each subscriber answers.

`Trigger.wants` is the oracle: a slow and obvious reading of the filter that stands beside it in YAML. Nothing
of the product is used here.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ORDERS, AUDIT = "default/orders", "default/audit"
PARTITIONS = {ORDERS: 4, AUDIT: 1}
SOURCE = "/chaos"
SLOW_S = 0.3
# What the broker adds, takes away or rewrites; everything else arrives as it was sent.
_BROKERS_OWN = frozenset({"delay", "deliverat", "knativearrivaltime", "knativeerrordest", "knativeerrorcode",
                          "knativeerrordata"})


@dataclass(frozen=True)
class Trigger:
    """One trigger, as the checker knows it."""

    name: str
    broker: str
    wants: Callable[[Mapping[str, str]], bool]
    retry: int | None = None  # None: for ever
    backoff_s: float = 0.0  # linear: n * backoff_s before the nth retry
    is_ordered: bool = False
    concurrency: int | None = None
    rate_per_s: float | None = None


def _filtered(event):
    is_chosen = event.get("region") == "eu" or event.get("subject", "").endswith(".vip")
    return event["type"].startswith("chaos.") and is_chosen and event.get("weight", "").isdecimal() \
        and int(event["weight"]) > 1


TRIGGERS = {trigger.name: trigger for trigger in (
    Trigger("filtered", ORDERS, _filtered, retry=100, backoff_s=0.1, rate_per_s=200),
    Trigger("ordered", ORDERS, lambda event: event["type"] == "chaos.order", backoff_s=0.1, is_ordered=True),
    Trigger("slow", ORDERS, lambda event: event.get("pace") == "slow", retry=100, backoff_s=0.1,
            concurrency=4),
    Trigger("failing", AUDIT, lambda event: event["type"] == "chaos.audit", retry=3, backoff_s=0.2),
    Trigger("function", AUDIT, lambda event: event["type"] == "chaos.call", retry=100, backoff_s=0.1),
    Trigger("answers", AUDIT, lambda event: event["type"] == "chaos.answer", retry=100, backoff_s=0.1),
)}
LETTERS = "letters"  # the dead letter sink of `failing`
NONSENSE = "nonsense-"  # what the ids of a producer begin with that sends no events

_LINEAR = "retry: {retry}, backoffPolicy: linear, backoffDelay: PT{backoff}S, timeout: PT10S"


def objects(direct: str, cut: str) -> str:
    """YAML of all objects; *cut* is the subscriber's URL through the proxy that cuts answers."""
    patient = _LINEAR.format(retry=100, backoff=0.1)
    return f"""
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {{name: orders, annotations: {{clarion.dev/partitions: "4"}}}}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {{name: audit, annotations: {{clarion.dev/dedup-window: 1h}}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: function}}
spec:
  template:
    metadata: {{annotations: {{autoscaling.knative.dev/window: 6s}}}}
    spec: {{containers: [{{image: "func://./function"}}]}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: filtered, annotations: {{clarion.dev/rate: 200/s}}}}
spec:
  broker: orders
  filters:
    - prefix: {{type: chaos.}}
    - any: [{{exact: {{region: eu}}}}, {{suffix: {{subject: .vip}}}}]
    - cesql: EXISTS weight AND INT(weight) > 1
  subscriber: {{uri: "{cut}/filtered"}}
  delivery: {{{patient}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: ordered
  annotations: {{kafka.eventing.knative.dev/delivery.order: ordered, clarion.dev/on-poison: wait}}
spec:
  broker: orders
  filter: {{attributes: {{type: chaos.order}}}}
  subscriber: {{uri: "{cut}/ordered"}}
  delivery: {{{patient}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: slow, annotations: {{clarion.dev/concurrency: "4"}}}}
spec:
  broker: orders
  filter: {{attributes: {{pace: slow}}}}
  subscriber: {{uri: "{direct}/slow"}}
  delivery: {{{patient}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: failing}}
spec:
  broker: audit
  filter: {{attributes: {{type: chaos.audit}}}}
  subscriber: {{uri: "{cut}/failing"}}
  delivery:
    {{{_LINEAR.format(retry=3, backoff=0.2)}, deadLetterSink: {{uri: "{direct}/{LETTERS}"}}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: function}}
spec:
  broker: audit
  filter: {{attributes: {{type: chaos.call}}}}
  subscriber: {{ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: function}}}}
  delivery: {{{patient}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: answers}}
spec:
  broker: audit
  filter: {{attributes: {{type: chaos.answer}}}}
  subscriber: {{uri: "{direct}/answers"}}
  delivery: {{{patient}}}
"""


# It notes each call in a file, in one write: what a killed worker has noted is there.
FUNCTION = """
import json, os, time
from cloudevents.core.v1.event import CloudEvent

def handle(event):
    noted = json.dumps({"id": event.get_id(), "data": event.get_data(), "at": time.monotonic()})
    calls = os.open(CALLS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(calls, noted.encode() + b"\\n")
    os.close(calls)
    return CloudEvent({"id": "answer-" + event.get_id(), "source": "/function", "type": "chaos.answer"},
                      {"to": event.get_id()})
"""


def digest(attributes: Mapping[str, str], data: bytes) -> str:
    """What makes two events the same, but for what the broker adds."""
    kept = sorted((name, value) for name, value in attributes.items() if name not in _BROKERS_OWN)
    return hashlib.sha256(json.dumps(kept).encode() + b"\0" + data).hexdigest()[:16]


def call_digest(event_id: str, data: object) -> str:
    """What makes two calls of the function the same."""
    return hashlib.sha256(json.dumps([event_id, data]).encode()).hexdigest()[:16]


def status_of(trigger: str, attributes: Mapping[str, str], earlier: int) -> int:
    """What the subscriber of *trigger* answers after *earlier* requests of the same event; 0: it hangs up."""
    weight = int(attributes.get("weight") or 0)
    if trigger == "ordered":
        return 503 if weight == 0 and earlier == 0 else 202
    if trigger == "failing":
        if weight == 0:
            return 503
        return (202, 500, 429, 0)[weight % 4] if earlier < min(weight, 2) else 202
    return 202
