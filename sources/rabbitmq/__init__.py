"""RabbitmqSource: a queue of RabbitMQ, and an event for each of its messages."""

from sources.rabbitmq import consumer, kind

__all__ = ["consumer", "kind"]
