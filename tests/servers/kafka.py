"""
A Kafka broker of one node (KRaft) on free loopback ports, with every way to connect that we claim to support.

    listener     needs
    plain        nothing
    sasl         SASL_PLAINTEXT: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, user and password below
    tls          SSL: a client certificate of the same authority

Taken from CLARION_TEST_KAFKA=HOST:PORT (the plain listener alone), from `kafka-server-start.sh` on PATH, or
installed by Maven (43 MB, once). It takes 4 to 10 s to start and 310 MB.

    python -m tests.servers.kafka [--port 9092]       one to try things with, until Ctrl-C
"""

import argparse
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.servers import provision
from tests.servers.provision import Missing

VERSION = "4.1.0"
USER, PASSWORD = "alice", "wonder-land"
_START_S = 60.0

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{control}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{control}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config={plain_module} required user_{user}="{password}";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config={scram_module} required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={scram_module} required;
ssl.keystore.type=PEM
ssl.keystore.location={directory}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={directory}/ca.crt
ssl.client.auth=required
"""


class Kafka:
    """A running broker; `plain`, `sasl` and `tls` are bootstrap addresses."""

    def __init__(self, class_path, directory, port=None):
        """Nothing is started yet; the plain listener will be on *port*, else on a free one."""
        self.directory = directory
        self.ports = dict(zip(("plain", "sasl", "tls", "control"), provision.free_ports(4), strict=True))
        self.ports["plain"] = port or self.ports["plain"]
        self.plain, self.sasl, self.tls, _ = (f"127.0.0.1:{port}" for port in self.ports.values())
        self.admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})
        self._class_path = class_path
        self._process = None

    def prepare(self):
        """Write certificates and settings, and format the storage."""
        certify(self.directory)
        (self.directory / "kafka.properties").write_text(_PROPERTIES.format(
            **self.ports, directory=self.directory, plain_module=_PLAIN, scram_module=_SCRAM, user=USER,
            password=PASSWORD))
        scram = [word for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                 for word in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")]
        cluster = uuid.uuid4()
        done = subprocess.run(self._java("kafka.tools.StorageTool", "format", "-t", _base64(cluster), "-c",
                                         "kafka.properties", *scram),
                              cwd=self.directory, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"Kafka's storage cannot be formatted: {done.stderr.strip()[-300:]}")

    def _java(self, *arguments):
        # Half the broker's usual memory, and a compiler that leaves the cores to the tests.
        heap = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        return ["java", *heap, "-cp", self._class_path, *arguments]

    def start(self):
        """Start it and return once it answers."""
        command = self._java("kafka.Kafka", "kafka.properties")
        with (self.directory / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"Kafka does not start:\n{(self.directory / 'kafka.log').read_text()[-1000:]}")

    def _answers(self):
        try:
            return self.admin.list_topics(timeout=1).brokers
        except confluent_kafka.KafkaException:
            return False

    def stop(self, how=signal.SIGTERM):
        """Stop it, by its pid."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(timeout=_START_S)

    @contextlib.contextmanager
    def frozen(self):
        """It is there and does nothing, for as long as the context is open."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            while not self._stands_still():
                pass
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _stands_still(self):
        """A signal stops one thread after the other."""
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        with contextlib.suppress(OSError):  # one has just ended
            return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)
        return False

    def topic(self, partitions=1, **settings):
        """Name of a new topic."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.create(name, partitions, **settings)
        return name

    def create(self, name, partitions=1, **settings):
        """Create a topic; returns once it can be written to."""
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        self.admin.create_topics([new])[name].result(timeout=30)
        while name not in self.admin.list_topics(timeout=10).topics:
            pass

    def producer(self, **settings):
        """A producer of confluent-kafka; `flush` it."""
        return confluent_kafka.Producer({"bootstrap.servers": self.plain, "log_level": 0, "linger.ms": 1,
                                         **settings})


def _base64(identifier):
    """A UUID as Kafka writes one."""
    return base64.urlsafe_b64encode(identifier.bytes).decode().rstrip("=")


def certify(directory):
    """An authority, and certificates by it for the broker and for a client (`client.crt`, `client.key`)."""
    openssl = provision.program("openssl")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    provision.install(openssl, "req", "-x509", *curve, "-subj", "/CN=test authority", "-keyout", "ca.key",
                      "-out", "ca.crt", cwd=directory)
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for who in ("server", "client"):
        provision.install(openssl, "req", *curve, "-subj", f"/CN={who}", "-keyout", f"{who}.key",
                          "-out", f"{who}.csr", cwd=directory)
        provision.install(openssl, "x509", "-req", "-in", f"{who}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                          "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{who}.crt",
                          cwd=directory)
    pair = (directory / "server.key").read_text() + (directory / "server.crt").read_text()
    (directory / "server.pem").write_text(pair)


class Elsewhere(Kafka):
    """Somebody's broker, at CLARION_TEST_KAFKA: it has one listener, and is not ours to stop."""

    def __init__(self, address):
        """Use *address*, HOST:PORT."""
        self.plain = address
        self.admin = AdminClient({"bootstrap.servers": address, "log_level": 0})

    def __getattr__(self, name):
        """Tests of what it does not have are skipped."""
        pytest.skip(f"the broker of CLARION_TEST_KAFKA has no {name}")

    def stop(self, how=signal.SIGTERM):
        """Tests that restart the broker are not for this one."""
        pytest.skip("the broker of CLARION_TEST_KAFKA is not ours to stop")

    frozen = stop


@contextlib.contextmanager
def serve(port=None):
    """A broker, for as long as the context is open; raises provision.Missing."""
    address = os.environ.get("CLARION_TEST_KAFKA")
    if address:
        yield Elsewhere(address)
        return
    provision.program("java")
    directory = Path(tempfile.mkdtemp(prefix="ck-"))
    server = Kafka(_class_path(), directory, port)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)  # its data goes with it
        shutil.rmtree(directory)


def _class_path():
    script = shutil.which("kafka-server-start.sh")
    if script is not None:
        return f"{Path(script).resolve().parents[1]}/libs/*"
    home = provision.cache(f"kafka-{VERSION}")
    done = home / "complete"
    if not done.exists():
        (home / "pom.xml").write_text(_POM)
        provision.install(provision.program("mvn"), "-q", "-B", "dependency:copy-dependencies",
                          f"-DoutputDirectory={home}/libs", cwd=home)
        done.touch()
    return f"{home}/libs/*"


def main():
    """A broker for a person."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.kafka", description=main.__doc__)
    parser.add_argument("--port", type=int, help="of the plain listener (default: a free one)")
    provision.attend(serve, parser.parse_args().port,
                     lambda server: f"Kafka {VERSION} listens on {server.plain}; Ctrl-C ends it\n")


if __name__ == "__main__":
    main()
