"""A whole Clarion, started as a person starts it, and how tests wait for what it does."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

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

    def call(self, method, path, body=None, type_="application/json"):
        """(status, answer) of a request to the API, in JSON."""
        data = None if body is None else json.dumps(body).encode()
        url = self.control_url + path
        request = urllib.request.Request(url, data, {"content-type": type_}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

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

    def begin_to_stop(self, how=signal.SIGINT):
        """Tell it to stop, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)

    def stop(self, how=signal.SIGINT):
        """Stop it and return its exit status."""
        self.begin_to_stop(how)
        return self.wait_end()

    def wait_end(self):
        """Its exit status, once it has ended; None if it never ran."""
        return None if self.process is None else self.process.wait(timeout=60)
