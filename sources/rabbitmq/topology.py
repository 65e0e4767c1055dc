"""
What a RabbitmqSource consumes, as its spec says it, and what is declared for it. Pure.

    spec                                              means
    rabbitmqResourcesConfig.queueName                 the queue; quorum and durable unless told otherwise
    rabbitmqResourcesConfig.exchangeName              the exchange that the queue is bound to
    rabbitmqResourcesConfig.predeclared               both are there already, and are left as they are
    rabbitmqResourcesConfig.parallelism               messages in flight: RabbitMQ's prefetch count
    exchangeConfig {type durable autoDelete}          a headers exchange, durable, where nothing is said
    queueConfig {type durable autoDelete exclusive    `routingKeys`, or one `routingKey`: what is bound, by
                 routingKeys arguments}               default everything that the exchange has

The last two are what RabbitMQ can do and today's Knative declares in one way only; Knative's API drops them.
`name` in them is the same as exchangeName and queueName.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXCHANGE_TYPES = ("direct", "fanout", "headers", "topic")
QUEUE_TYPES = ("classic", "quorum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A queue, and where its messages come from."""

    queue: str
    exchange: str
    is_predeclared: bool
    parallelism: int
    exchange_type: str
    exchange_options: Mapping[str, Any]  # durable, auto_delete
    queue_options: Mapping[str, Any]  # durable, auto_delete, exclusive
    queue_arguments: Mapping[str, Any]
    routing_keys: tuple[str, ...]


def of(spec: Mapping[str, Any]) -> Topology:
    """The topology of a spec that was admitted."""
    resources, exchange, queue = blocks(spec)
    kind = exchange.get("type") or "headers"
    return Topology(
        queue=queue_name(spec), exchange=exchange_name(spec),
        is_predeclared=bool(resources.get("predeclared")), parallelism=resources.get("parallelism") or 1,
        exchange_type=kind,
        exchange_options={"durable": exchange.get("durable", True),
                          "auto_delete": exchange.get("autoDelete", False)},
        queue_options={"durable": queue.get("durable", True), "auto_delete": queue.get("autoDelete", False),
                       "exclusive": queue.get("exclusive", False)},
        queue_arguments={"x-queue-type": queue_type(queue), **(queue.get("arguments") or {})},
        routing_keys=_routing_keys(kind, queue),
    )


def blocks(spec: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
    """`rabbitmqResourcesConfig`, `exchangeConfig` and `queueConfig`; empty when absent."""
    return (spec.get("rabbitmqResourcesConfig") or {}, spec.get("exchangeConfig") or {},
            spec.get("queueConfig") or {})


def queue_name(spec: Mapping[str, Any]) -> str:
    """Name of the queue; "" when the spec has none."""
    resources, _, queue = blocks(spec)
    return resources.get("queueName") or queue.get("name") or ""


def exchange_name(spec: Mapping[str, Any]) -> str:
    """Name of the exchange; "" when the spec has none."""
    resources, exchange, _ = blocks(spec)
    return resources.get("exchangeName") or exchange.get("name") or ""


def queue_type(queue: Mapping[str, Any]) -> str:
    """Quorum queues are durable, shared and permanent (RabbitMQ, "Quorum Queues"): others are classic."""
    is_fleeting = queue.get("exclusive") or queue.get("autoDelete") or queue.get("durable") is False
    return str(queue.get("type") or ("classic" if is_fleeting else "quorum"))


def _routing_keys(exchange_type: str, queue: Mapping[str, Any]) -> tuple[str, ...]:
    one = [queue["routingKey"]] if queue.get("routingKey") else []
    everything = "#" if exchange_type == "topic" else ""
    return tuple(queue.get("routingKeys") or one or [everything])
