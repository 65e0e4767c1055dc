"""One `clarion up`; its REST API, producers, and subscribers that note what they get."""

import itertools

import pytest

from tests.eventing.conformance import wire
from tests.eventing.conformance.wire import BROKERS, HEADERS, TRIGGERS, Api, Sink
from tests.listener import listening


@pytest.fixture(scope="package")
def hall():
    """A server for all sinks: each has a path of its own."""
    sinks = {}
    with listening(lambda request: sinks[request.path.split("/")[1]].take(request)) as server:
        yield server.url, sinks


@pytest.fixture
def make_sink(hall, until):
    """Makes subscribers."""
    url, sinks = hall

    def make():
        name = f"s{len(sinks)}"
        sinks[name] = Sink(f"{url}/{name}", until)
        return sinks[name]
    return make


@pytest.fixture
def sink(make_sink):
    """One subscriber."""
    return make_sink()


@pytest.fixture(scope="package")
def instance(instances):
    """A running instance."""
    made = instances()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def api(instance, until):
    """Its REST API."""
    return Api(instance, until)


@pytest.fixture
def set_flags(api, until):
    """Sets flags of ConfigMap config-features; they are as they were after the test."""
    path = "/api/v1/namespaces/knative-eventing/configmaps"
    yield lambda flags: api.create(path, "config-features", flags)
    api.call("DELETE", f"{path}/config-features")
    until(lambda: api.call("GET", f"{path}/config-features")[0] == 404, what="end of the flags")


_NUMBERS = itertools.count()


@pytest.fixture
def make_broker(api, post, until):
    """Makes Brokers that are Ready and known at the data port, each under another name; returns the name."""
    def make(annotations=None, **spec):
        name = f"b{next(_NUMBERS)}"
        api.until_ready(api.create(BROKERS, name, spec, annotations=annotations or {}))
        # An event that may go nowhere is refused once its Broker is known, and stored never.
        until(lambda: post(name, {"ce-knativebrokerttl": "1"}).status != 404, what="Broker at the data port")
        return name
    return make


@pytest.fixture
def broker(make_broker):
    """A Broker of the test's own."""
    return make_broker()


@pytest.fixture
def make_trigger(api):
    """Makes Triggers that are Ready; *subscriber* is a sink, a URL or a Destination; returns the path."""
    def make(broker, subscriber, *, annotations=None, **spec):
        if not isinstance(subscriber, dict):
            subscriber = {"uri": getattr(subscriber, "url", subscriber)}
        wish = {"broker": broker, "subscriber": subscriber, **spec}
        path = api.create(TRIGGERS, f"t{next(_NUMBERS)}", wish, annotations=annotations or {})
        api.until_ready(path)
        return path
    return make


@pytest.fixture
def post(instance):
    """Sends a request to the data port: `post("b1", {"ce-type": "x"})` is an event with that type."""
    def run(broker, headers=None, body=b"{}", *, method="POST", whole=None):
        target = broker if broker.startswith("/") else f"/default/{broker}"
        given = whole if whole is not None else {**HEADERS, **(headers or {})}
        return wire.send(instance.state["port"], target, given, body, method=method)
    return run


@pytest.fixture
def send(post):
    """Sends events with these ids, and attributes; each is accepted."""
    def run(broker, *ids, body=b"{}", **attributes):
        for id_ in ids:
            headers = {f"ce-{name}": value for name, value in attributes.items()}
            answer = post(broker, {**headers, "ce-id": id_}, body)
            assert answer.status == 202, answer
    return run
