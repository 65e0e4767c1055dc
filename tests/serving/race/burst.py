"""
From zero to 3,000 requests/s at once: python -m tests.serving.race.burst --rate 3000 --duration 20

The load does not wait for answers (open loop), as that of many clients. Every request has to be answered
with 200; what the machine cannot do at once waits: first of all for workers, of which there are none.
Ends with status 1 if one was not.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from eventing.http.client import Client, ClientLimits, NoAnswer
from tests.instance import Instance

_STEP_S = 0.005
_LIMIT_S = 60

FUNCTION = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(0.1)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
"""

SERVICE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data: {allow-zero-initial-scale: "true", initial-scale: "0"}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: burst}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/max-scale: "8"}}
    spec: {containers: [{image: "func://./burst"}]}
"""


class Burst:
    """What became of the requests of one burst."""

    def __init__(self):
        self.answers = Counter()  # by status, or by why there was none
        self.times_s = []

    def __str__(self):
        """The summary."""
        times_s = sorted(self.times_s) or [0.0]
        shares = " ".join(f"p{share} {times_s[len(times_s) * share // 100]:.3f} s" for share in (50, 95, 99))
        return f"{self.answers.total()} requests: {dict(self.answers)}; {shares}, max {times_s[-1]:.3f} s"

    async def run(self, port, rate, duration_s):
        """Send *rate* requests a second for *duration_s*, whatever becomes of them."""
        client = Client(limits=ClientLimits(connections=10_000))
        began_s, sent = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while (passed_s := time.monotonic() - began_s) < duration_s:
                for _ in range(int(passed_s * rate) - sent):
                    tasks.create_task(self._ask(client, port))
                    sent += 1
                await asyncio.sleep(_STEP_S)
        await client.close()

    async def _ask(self, client, port):
        began_s = time.monotonic()
        try:
            answer = await client.request("GET", f"http://burst.default.localhost:{port}/", [],
                                          timeout_s=_LIMIT_S, max_answer_bytes=1 << 16)
        except NoAnswer as error:
            self.answers[str(error)] += 1
        else:
            self.answers[answer.status if answer.status == 200 else f"{answer.status} {answer.body!r}"] += 1
            self.times_s.append(time.monotonic() - began_s)


def prepare(instance, folder):
    """Apply the Service, which never had a worker."""
    (folder / "burst").mkdir()
    (folder / "burst" / "func.py").write_text(FUNCTION)
    (folder / "burst.yaml").write_text(SERVICE)
    instance.clarion("apply", "-f", str(folder / "burst.yaml"))
    found = json.loads(instance.clarion("get", "revision", "burst-00001", "-o", "json"))
    assert found["status"]["actualReplicas"] == 0


def main():
    """Start an instance, burst, stop it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.serving.race.burst",
                                     description=__doc__.splitlines()[1])
    parser.add_argument("--rate", type=int, default=3000, help="requests a second")
    parser.add_argument("--duration", type=float, default=20, metavar="SECONDS")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="clarion-burst-"))
    (folder / "data").mkdir()
    instance = Instance(folder / "data")
    burst = Burst()
    try:
        instance.start()
        prepare(instance, folder)
        asyncio.run(burst.run(instance.state["port"], chosen.rate, chosen.duration))
    finally:
        instance.stop()
    shutil.rmtree(folder)
    sys.stdout.write(f"{burst}\n")
    return 0 if burst.answers.keys() == {200} else 1


if __name__ == "__main__":
    sys.exit(main())
