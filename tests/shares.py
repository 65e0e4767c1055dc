"""
How a run is shared out among processes (pytest-xdist): by file, and together what uses the same servers.

A process takes the next share when it has almost finished one. Long shares come first, so that all processes
end at about the same time; those that wait for a build (conftest.py) come last.
"""

from xdist.scheduler import LoadScopeScheduling

# By the beginning of a test's path: a server, or an instance, that takes seconds to start is started once.
_TOGETHER = {
    "tests/sources/kafka/": "Kafka and RabbitMQ",
    "tests/sources/rabbitmq/": "Kafka and RabbitMQ",
    "tests/sources/test_outages.py": "Kafka and RabbitMQ",
    "tests/sources/apiserver/": "Kubernetes",
    "tests/eventing/conformance/": "eventing conformance",
    "tests/serving/conformance/": "serving conformance",
}
# By the beginning of a path, the longest first; what is not here takes a few seconds.
_LONG = (
    "tests/sources/kafka/", "tests/sources/rabbitmq/", "tests/sources/test_outages.py",
    "tests/sources/apiserver/", "tests/eventing/cli/test_func.py",
    "tests/serving/workers/test_environment.py", "tests/eventing/test_supervisor.py",
    "tests/sources/container/", "tests/eventing/broker/dispatcher/", "tests/chaos/test_chaos.py",
    "tests/eventing/cli/", "tests/test_", "tests/eventing/conformance/", "tests/serving/conformance/",
    "tests/serving/race/", "tests/serving/role/", "tests/eventing/test_apiserver.py",
)


class Shares(LoadScopeScheduling):
    """Shares in the order in which tests were collected."""

    def _split_scope(self, nodeid):
        return next((share for path, share in _TOGETHER.items() if nodeid.startswith(path)),
                    nodeid.partition("::")[0])


def by_length(nodeid):
    """Key of an order: long shares first."""
    return next((place for place, path in enumerate(_LONG) if nodeid.startswith(path)), len(_LONG))
