"""One `clarion up`; its REST API, producers, and subscribers that note what they get."""

import http.server
import itertools
import threading

import pytest

from tests.eventing.conformance import wire
from tests.eventing.conformance.wire import BROKERS, HEADERS, TRIGGERS, Api, Request, Sink


class _Hall(http.server.ThreadingHTTPServer):
    """Takes as many connections at once as dispatchers open."""

    daemon_threads = True
    request_queue_size = 256


@pytest.fixture(scope="package")
def hall():
    """A server for all sinks: each has a path of its own."""
    sinks = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, content = sinks[self.path.split("/")[1]].take(Request(self.path, headers, body))
            self.send_response_only(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = _Hall(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port, sinks
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def make_sink(hall, until):
    """Makes subscribers."""
    port, sinks = hall

    def make():
        name = f"s{len(sinks)}"
        sinks[name] = Sink(f"http://127.0.0.1:{port}/{name}", until)
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
def make_broker(api):
    """Makes Brokers that are Ready, under names of their own; returns the name."""
    def make(annotations=None, **spec):
        name = f"b{next(_NUMBERS)}"
        api.until_ready(api.create(BROKERS, name, spec, annotations=annotations or {}))
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
