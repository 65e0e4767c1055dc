"""
A Kubernetes API on a free loopback port: etcd, kube-apiserver, and kubectl to ask it; no nodes: no pod runs.

Taken from CLARION_TEST_KUBERNETES=PATH of a kubeconfig (then it is not restarted), from `kube-apiserver`,
`etcd` and `kubectl` on PATH, each, or built by Go from their modules, once: 7 minutes of two cores, and 3 GB
for Go's own caches. A test run begins with that in the background (`begin`), and the tests that need it come
last. It takes 5 s to start and 330 MB.

    python -m tests.servers.kubernetes [--port 6443]        one to try things with, until Ctrl-C
    python -m tests.servers.kubernetes --build              only build what is not there
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest
import yaml

from tests.servers import provision
from tests.servers.provision import Missing

VERSION = "1.36.3"
TOKEN, VISITOR = "admin-token-of-a-test", "visitor-token-of-a-test"
_START_S = 120.0
_STOP_S = 30.0
# Program -> the Go package that is its main; etcd is of the version that Kubernetes itself is tested with.
_PACKAGES = {"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver", "etcd": "go.etcd.io/etcd/server/v3",
             "kubectl": "k8s.io/kubernetes/cmd/kubectl"}
_BUILD_S = 2700  # three times what two busy cores take
# Beside tests, it takes what they leave.
_NICE = 19


def find():
    """Path of each program; builds those that are not on PATH and not built yet. Raises Missing."""
    found = {name: shutil.which(name) or _built(name) for name in _PACKAGES}
    if not absent():
        return found
    go, home = provision.program("go"), _home()
    with provision.alone(home):
        (home / "bin").mkdir(exist_ok=True)
        for name in absent():
            if not (home / "go.mod").exists():
                _write_module(home, go)
            scratch = home / "bin" / f"{name}.new"
            provision.install(go, "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", scratch,
                              _PACKAGES[name], cwd=home, timeout_s=_BUILD_S)
            scratch.rename(_built(name))
    return found


def _home():
    return provision.cache(f"kubernetes-{VERSION}")


def _built(name):
    return _home() / "bin" / name


def absent():
    """Programs that are neither on PATH nor built."""
    return [name for name in _PACKAGES if shutil.which(name) is None and not _built(name).exists()]


class Build:
    """What builds in the background; one for a test run."""

    def __init__(self):
        """Begin, if anything is to be built."""
        self._process = None
        if not os.environ.get("CLARION_TEST_KUBERNETES") and absent() and shutil.which("go"):
            command = ["nice", f"-n{_NICE}", sys.executable, "-m", "tests.servers.kubernetes", "--build"]
            self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                             start_new_session=True)

    @property
    def is_running(self):
        """Whether somebody who needs it has to wait."""
        return self._process is not None and self._process.poll() is None

    def wait(self):
        """Return once it has ended; "", or why there is nothing."""
        if self._process is None:
            return ""
        _, said = self._process.communicate(timeout=_BUILD_S)
        return said.strip().rpartition("\n")[2] if self._process.returncode else ""

    def stop(self):
        """End it, and the compilers that it runs."""
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _write_module(home, go):
    """A module that requires Kubernetes, whose own parts (`staging`) have another version than it."""
    described = subprocess.run([go, "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}"], cwd=home,
                               capture_output=True, text=True, check=False, timeout=_BUILD_S)
    if described.returncode:
        raise Missing(f"go cannot download Kubernetes {VERSION}: {described.stderr.strip()[-300:]}")
    text = Path(json.loads(described.stdout)["GoMod"]).read_text()
    parts = re.findall(r"^\t(k8s\.io/\S+) => \./staging", text, re.MULTILINE)
    go_version = re.search(r"^go (\S+)", text, re.MULTILINE)[1]
    replaced = "".join(f"\t{part} => {part} v0.{VERSION.partition('.')[2]}\n" for part in parts)
    scratch = home / "go.mod.new"
    scratch.write_text(f"module servers\n\ngo {go_version}\n\nrequire k8s.io/kubernetes v{VERSION}\n\n"
                       f"replace (\n{replaced})\n")
    scratch.rename(home / "go.mod")


class Kubernetes:
    """A running API server; may be stopped, killed and started again on the same port."""

    def __init__(self, programs, directory, port=None):
        """Nothing is started yet."""
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self.ports = provision.free_ports(3)
        self.port = port or self.ports[0]
        self.url = f"https://127.0.0.1:{self.port}"
        self._programs = programs
        self._etcd = self._api = None

    def start(self):
        """Start etcd and the API server; returns once it is ready."""
        _, client, peer = self.ports
        own, others = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        self._etcd = self._run(
            "etcd", "--name=one", f"--data-dir={self.directory}/etcd", f"--listen-client-urls={own}",
            f"--advertise-client-urls={own}", f"--listen-peer-urls={others}",
            f"--initial-advertise-peer-urls={others}", f"--initial-cluster=one={others}")
        self._prepare()
        self.start_api()

    def _prepare(self):
        """The key of service accounts; tokens of who may do all, and nothing; a certificate (`keeper`)."""
        openssl, at = provision.program("openssl"), {"cwd": self.directory}
        provision.install(openssl, "genrsa", "-out", "accounts.key", "2048", **at)
        (self.directory / "tokens").write_text(f"{TOKEN},admin,admin,system:masters\n"
                                               f"{VISITOR},visitor,visitor\n")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        provision.install(openssl, "req", "-x509", *curve, "-subj", "/CN=test authority", "-keyout", "ca.key",
                          "-out", "ca.crt", **at)
        provision.install(openssl, "req", *curve, "-subj", "/O=system:masters/CN=keeper", "-keyout",
                          "keeper.key", "-out", "keeper.csr", **at)
        provision.install(openssl, "x509", "-req", "-in", "keeper.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                          "-CAcreateserial", "-days", "2", "-out", "keeper.crt", **at)

    def start_api(self):
        """Start the API server alone."""
        key = self.directory / "accounts.key"
        self._api = self._run(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.ports[1]}",
            f"--secure-port={self.port}", "--bind-address=127.0.0.1", f"--cert-dir={self.directory}/certs",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self.directory}/tokens", "--authorization-mode=RBAC",
            f"--client-ca-file={self.directory}/ca.crt",
            "--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount",
            "--etcd-compaction-interval=0", "--shutdown-delay-duration=0")
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            if self._api.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"kube-apiserver does not start:\n{self._said('kube-apiserver')}")
            time.sleep(0.1)
        self._write_kubeconfig()

    def _run(self, name, *arguments):
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen([self._programs[name], *arguments], cwd=self.directory,
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env={**os.environ, "GOMAXPROCS": "2"})

    def _said(self, name):
        return (self.directory / f"{name}.log").read_text()[-1500:]

    def _is_ready(self):
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
        try:
            with urllib.request.urlopen(request, timeout=2, context=_trusting()) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def _write_kubeconfig(self):
        authority = (self.directory / "certs/apiserver.crt").read_bytes()
        self.kubeconfig.write_text(self.config({"token": TOKEN}, authority))

    def config(self, user, authority=None):
        """A kubeconfig for *user*."""
        authority = authority or (self.directory / "certs/apiserver.crt").read_bytes()
        cluster = {"server": self.url, "certificate-authority-data": base64.b64encode(authority).decode()}
        return yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]})

    def stop_api(self, how=signal.SIGKILL):
        """Stop the API server; etcd keeps what it stored."""
        _stop(self._api, how)

    def compact(self):
        """Have etcd forget every change there was: who watches from before that gets 410."""
        url = f"http://127.0.0.1:{self.ports[1]}/v3"
        revision = _post(f"{url}/kv/range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"]
        _post(f"{url}/kv/compaction", {"revision": revision, "physical": True})

    def stop(self):
        """Stop everything."""
        _stop(self._api, signal.SIGKILL)  # its data goes with it
        _stop(self._etcd, signal.SIGKILL)

    def kubectl(self, *arguments, stdin=None):
        """What a `kubectl` command printed; AssertionError if it failed."""
        done = subprocess.run([self._programs["kubectl"], "--kubeconfig", self.kubeconfig, *arguments],
                              input=stdin, capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "HOME": str(self.directory)})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def namespace(self, **labels):
        """Name of a new namespace."""
        name = f"n-{uuid.uuid4().hex[:8]}"
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        return name

    def apply(self, *objects):
        """`kubectl apply`."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def write(self, collection, *objects):
        """Create or replace many objects of the collection at that path: kubectl is slow at that."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=_trusting(), timeout=30)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        for each in objects:
            for method, path in (("POST", collection), ("PUT", f"{collection}/{each['metadata']['name']}")):
                connection.request(method, path, json.dumps(each), headers)
                answer = connection.getresponse()
                said = answer.read().decode()
                if answer.status < 300:
                    break
            assert answer.status < 300, said
        connection.close()


def _trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def _stop(process, how):
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Elsewhere(Kubernetes):
    """Somebody's cluster, at CLARION_TEST_KUBERNETES: not ours to restart."""

    def __init__(self, kubeconfig):
        """Use *kubeconfig*, a path."""
        self.kubeconfig = Path(kubeconfig)
        self.directory = self.kubeconfig.parent
        self.url = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        self._programs = {"kubectl": provision.program("kubectl")}

    def write(self, collection, *objects):
        """Create or replace many objects."""
        self.apply(*objects)

    def stop_api(self, how=signal.SIGKILL):
        """Tests that take the server away need one of their own."""
        pytest.skip("the cluster of CLARION_TEST_KUBERNETES is not ours to stop")

    start_api = compact = config = stop_api


@contextlib.contextmanager
def serve(port=None):
    """A running API server; raises Missing where there can be none."""
    if path := os.environ.get("CLARION_TEST_KUBERNETES"):
        yield Elsewhere(path)
        return
    programs = find()
    directory = Path(tempfile.mkdtemp(prefix="k8s-"))
    server = Kubernetes(programs, directory, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def main():
    """A Kubernetes API for a person."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.kubernetes", description=main.__doc__)
    parser.add_argument("--port", type=int, help="where it listens (default: a free one)")
    parser.add_argument("--build", action="store_true", help="only build what is not there")
    arguments = parser.parse_args()
    if arguments.build:
        try:
            find()
        except Missing as why:
            sys.exit(str(why))
        return
    if absent():
        sys.stdout.write(f"Building {', '.join(absent())}, once: some 7 minutes\n")
        sys.stdout.flush()
    provision.attend(serve, arguments.port,
                     lambda server: f"Kubernetes {VERSION} listens on {server.url}; Ctrl-C ends it\n"
                                    f"export KUBECONFIG={server.kubeconfig}\n")


if __name__ == "__main__":
    main()
