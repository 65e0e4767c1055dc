"""What the conformance tests speak: the REST API, requests of producers, and subscribers that note them."""

import http.client
import threading
from dataclasses import dataclass

BROKERS = "/apis/eventing.knative.dev/v1/namespaces/default/brokers"
TRIGGERS = "/apis/eventing.knative.dev/v1/namespaces/default/triggers"
FAST = {"backoffPolicy": "linear", "backoffDelay": "PT0.02S"}
HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t",
           "content-type": "application/json"}


class Api:
    """The REST API of the control port."""

    def __init__(self, instance, until):
        self.call = instance.call
        self._until = until

    def get(self, path):
        """An object that is there."""
        status, found = self.call("GET", path)
        assert status == 200, found
        return found

    def patch(self, path, change):
        """(status, answer) of a merge patch."""
        return self.call("PATCH", path, change, "application/merge-patch+json")

    def create(self, path, name, spec, **metadata):
        """Store an object; returns its path."""
        version, kind = {
            "brokers": ("eventing.knative.dev/v1", "Broker"),
            "triggers": ("eventing.knative.dev/v1", "Trigger"),
            "pingsources": ("sources.knative.dev/v1", "PingSource"), "configmaps": ("v1", "ConfigMap"),
        }[path.rpartition("/")[2]]
        content = {"data": spec} if kind == "ConfigMap" else {"spec": spec}
        wish = {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, **content}
        status, made = self.call("POST", path, wish)
        assert status == 201, made
        return f"{path}/{name}"

    def condition(self, path, type_="Ready"):
        """A condition of an object, once its status is of what is stored."""
        found = self.get(path)
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return {}
        return next((each for each in status["conditions"] if each["type"] == type_), {})

    def until_ready(self, path):
        """Wait until the object is Ready; returns it."""
        self._until(lambda: self.condition(path).get("status") == "True", what=f"readiness of {path}")
        return self.get(path)

    def until_condition(self, path, type_, status, reason=None):
        """Wait until a condition has that status, and reason; returns it."""
        def found():
            each = self.condition(path, type_)
            return each if each.get("status") == status and reason in (None, each.get("reason")) else None
        return self._until(found, what=f"{type_}={status} of {path}")


class Sink:
    """A subscriber: notes requests, and answers what `answer(request, n)` says, n from 0 for each event."""

    def __init__(self, url, until):
        self.url = url
        self.received = []
        self.answer = lambda request, n: 200
        self._until = until
        self._lock = threading.Lock()

    def take(self, request):
        """What `answer` says to a request."""
        with self._lock:
            n = sum(each.id == request.id for each in self.received)
            self.received.append(request)
        return self.answer(request, n)

    @property
    def ids(self):
        """Ids of the events, as they came."""
        return [request.id for request in list(self.received)]

    def wait(self, count):
        """The requests, once there are so many."""
        self._until(lambda: len(self.received) >= count, what=f"{count} requests at {self.url}: {self.ids}")
        return list(self.received)

    def until(self, *ids):
        """Wait until these, in any order, are all that came."""
        self._until(lambda: sorted(self.ids) == sorted(ids), what=f"{ids} at {self.url}: {self.ids}")


def failing(times, status=503):
    """Fail the first *times* requests for each event."""
    return lambda request, n: status if n < times else 200


def replying(data=b"{}", *, status=200, **attributes):
    """Answer with an event, whose id is `re-` and that of the request."""
    def answer(request, n):
        made = {"specversion": "1.0", "source": "/reply", "type": "reply", **attributes}
        headers = {f"ce-{name}": value for name, value in made.items()}
        return status, {**headers, "ce-id": f"re-{request.id}", "content-type": "application/json"}, data
    return answer


@dataclass
class Answer:
    """What a producer got."""

    status: int
    headers: dict
    body: bytes


def send(port, target, headers, body=b"{}", *, method="POST"):
    """The answer to one request on the data port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    connection.close()
    return found
