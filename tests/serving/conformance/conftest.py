"""One `clarion up`, the functions that the clauses are tried on, and two ways to talk to it."""

import http.client
import json

import pytest

# Answers with all that a function can see; written for a cluster, and run here because its image is mapped.
RUNTIME = """
import asyncio, json, os, signal, sys
from urllib.parse import parse_qsl

FILES = ["/dev/fd", "/dev/full", "/dev/null", "/dev/random", "/dev/stdin", "/dev/stdout", "/dev/stderr",
         "/dev/urandom", "/dev/zero", "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1",
         "/proc/self/fd/2"]
print("imported", os.getpid())

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    query = dict(parse_qsl(scope["query_string"].decode()))
    await asyncio.sleep(float(query.get("sleep", 0)))
    with open(f"/tmp/conformance-{os.getpid()}", "w") as file:
        file.write("x")
    os.unlink(file.name)
    found = {"headers": {name.decode(): value.decode() for name, value in scope["headers"]},
             "http": scope["http_version"], "env": dict(os.environ), "pid": os.getpid(), "cwd": os.getcwd(),
             "missing": [path for path in FILES if not os.path.exists(path)],
             "tmp": oct(os.stat("/tmp").st_mode & 0o777), "stdin": sys.stdin.read(), "uid": os.getuid()}
    body = json.dumps(found).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
"""

# Does not heed SIGTERM.
STUBBORN = """
import os, signal
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

signal.signal(signal.SIGTERM, lambda number, frame: print("heard SIGTERM", os.getpid(), flush=True))
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: clarion-images, namespace: knative-serving}
data: {runtime: "registry.example.com/test/runtime = func://./runtime"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-features, namespace: knative-serving}
data: {tag-header-based-routing: Enabled}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: runtime, labels: {team: a}, annotations: {note: b}}
spec:
  template:
    metadata: {labels: {tier: c}}
    spec: {containers: [{image: "registry.example.com/test/runtime:v1", env: [{name: A, value: b}]}]}
"""


class Data:
    """The data port, as a client that names a host."""

    def __init__(self, instance):
        self._instance = instance

    def connect(self):
        """A connection that is kept alive."""
        return http.client.HTTPConnection("127.0.0.1", self._instance.state["port"], timeout=30)

    def ask(self, host, path="/", headers=None, connection=None):
        """(status, body) of a GET."""
        used = connection or self.connect()
        used.request("GET", path, headers={"Host": host, **(headers or {})})
        answer = used.getresponse()
        body = answer.read().decode()
        if connection is None:
            used.close()
        return answer.status, body

    def see(self, host, path="/", headers=None, connection=None):
        """What the function saw."""
        status, body = self.ask(host, path, headers, connection)
        assert status == 200, body
        return json.loads(body)


class Api:
    """The REST API."""

    def __init__(self, instance):
        self._instance = instance

    def call(self, method, path, body=None, type_="application/json"):
        """(status, answer) of a request below namespace default of Knative Serving v1."""
        path = f"/apis/serving.knative.dev/v1/namespaces/default/{path}"
        return self._instance.call(method, path, body, type_)

    def get(self, path):
        """An object that is there."""
        status, found = self.call("GET", path)
        assert status == 200, found
        return found


@pytest.fixture(scope="package")
def instance(instances, tmp_path_factory):
    """A running instance with the functions applied."""
    folder = tmp_path_factory.mktemp("conformance")
    for name, code in (("runtime", RUNTIME), ("stubborn", STUBBORN)):
        (folder / name).mkdir()
        (folder / name / "func.py").write_text(code)
    (folder / "objects.yaml").write_text(OBJECTS)
    made = instances("-f", str(folder / "objects.yaml"))
    made.folder = folder
    made.start()
    yield made
    made.stop()


@pytest.fixture
def data(instance):
    """The data port."""
    return Data(instance)


@pytest.fixture
def api(instance):
    """The REST API."""
    return Api(instance)


@pytest.fixture
def apply(instance):
    """Applies YAML and waits until it is Ready."""

    def run(text):
        (instance.folder / "more.yaml").write_text(text)
        return instance.clarion("apply", "-f", str(instance.folder / "more.yaml"))

    return run
