"""
Services go 0 -> N -> 0 -> N while requests race every edge, revisions roll out and workers are killed.

    calm-K      direct requests; new revisions roll out under them. Every request is answered cleanly.
    victim-K    the same, and their workers are killed (SIGKILL). A request may fail once, not twice.
    events      behind a Trigger; rolled out and killed. Every accepted event is handled.

Who asks a Service bursts, falls silent for about as long as the Service needs to fall to zero, and bursts
again: a bit sooner if that was too late (the answer was cold), a bit later if it was too soon.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

from eventing.http.server import serve
from tests.serving.race import web
from tests.serving.race.tally import Tally

ROLLOUTS = 10
_LEAST_SILENCE_S, _MOST_SILENCE_S = 5.5, 9.5  # the window is 6 s, a tick 2 s
_LAST_EVENTS_S = 120

FUNCTION = """
import asyncio, json, os
from urllib.parse import parse_qsl

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    query = dict(parse_qsl(scope["query_string"].decode()))
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await asyncio.sleep(float(query["sleep"]))
    said = json.dumps({"id": query["id"], "pid": os.getpid(), "size": len(body),
                       "revision": os.environ["K_REVISION"]}).encode()
    streams = "stream" in query
    length = [] if streams else [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    if streams:
        await send({"type": "http.response.body", "body": said[:9], "more_body": True})
        await asyncio.sleep(float(query["sleep"]))
        said = said[9:]
    await send({"type": "http.response.body", "body": said})
"""

HANDLER = """
import asyncio, os
from cloudevents.core.v1.event import CloudEvent

async def handle(event):
    await asyncio.sleep(event.get_data()["sleep"])
    return CloudEvent({"type": "race.done", "source": "/race", "id": event.get_id() + "-done",
                       "specversion": "1.0"}, {"id": event.get_id(), "pid": os.getpid()})
"""

SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: {name}}}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/window: 6s
        autoscaling.knative.dev/target: "2"
        autoscaling.knative.dev/max-scale: "4"
    spec:
      containerConcurrency: {limit}
      containers: [{{image: "func://./{folder}", env: [{{name: GENERATION, value: "0"}}]}}]
---
"""

FLOW = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {{name: race}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: events}}
spec:
  broker: race
  filter: {{attributes: {{type: race.run}}}}
  subscriber: {{ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: events}}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: done}}
spec:
  broker: race
  filter: {{attributes: {{type: race.done}}}}
  subscriber: {{uri: "http://127.0.0.1:{port}/"}}
"""


def objects(folder, calm, victims, sink_port):
    """Write the functions and the YAML of all Services to *folder*; returns the YAML's path."""
    for name, code in (("answers", FUNCTION), ("handles", HANDLER)):
        (folder / name).mkdir()
        (folder / name / "func.py").write_text(code)
    names = [f"calm-{index}" for index in range(calm)] + [f"victim-{index}" for index in range(victims)]
    text = "".join(SERVICE.format(name=name, folder="answers", limit=(0, 2, 5)[index % 3])
                   for index, name in enumerate(names))
    text += SERVICE.format(name="events", folder="handles", limit=0) + FLOW.format(port=sink_port)
    path = folder / "race.yaml"
    path.write_text(text)
    return path


class Race:
    """One race over an instance that runs; all that happens by chance hangs on *seed*."""

    def __init__(self, instance, duration_s, seed, rollouts=ROLLOUTS):
        state = instance.state
        self.tally = Tally()
        self._port, self._control_port = state["port"], state["control_port"]
        self._instance = instance
        self._duration_s = duration_s
        self._rollouts = rollouts
        self._dice = random.Random(seed)
        self._end_s = 0.0
        self._numbers = iter(range(1 << 40))

    async def run(self, folder, calm=4, victims=2):
        """Race; returns the Tally."""
        sink = await serve(self._done)
        path = objects(folder, calm, victims, sink.port)
        await asyncio.to_thread(self._instance.clarion, "apply", "-f", str(path))
        self._end_s = time.monotonic() + self._duration_s
        names = [f"calm-{index}" for index in range(calm)] + [f"victim-{index}" for index in range(victims)]
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(self._visit(name, self._burst))
            tasks.create_task(self._visit("events", self._publish))
            tasks.create_task(self._roll_out([*names, "events"]))
            killer = tasks.create_task(self._kill(("victim-", "events-")))
            await asyncio.sleep(self._duration_s)
            killer.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_EVENTS_S):
                while self.tally.missing:
                    await asyncio.sleep(0.1)
        await sink.close(5)
        return self.tally

    @property
    def _goes_on(self):
        return time.monotonic() < self._end_s

    def _done(self, exchange):
        def take(body):
            said = json.loads(body)
            self.tally.done[said["id"]] += 1
            self.tally.workers["events"].add(said["pid"])
            exchange.respond(202)
        exchange.collect(1 << 20, take)

    # -- requests and events

    async def _visit(self, name, burst):
        """Bursts, and silences that end about when the Service falls to zero."""
        dice = random.Random(f"{self._dice.random()} {name}")
        silence_s, step_s = dice.uniform(_LEAST_SILENCE_S, _MOST_SILENCE_S), 1.0
        while self._goes_on:
            was_cold = await burst(name, dice)
            silence_s += -step_s if was_cold else step_s
            step_s = max(0.05, step_s * 0.7)
            silence_s = min(max(silence_s, _LEAST_SILENCE_S), _MOST_SILENCE_S)
            left_s = max(0, self._end_s - time.monotonic())
            await asyncio.sleep(min(silence_s + dice.uniform(-0.1, 0.1), left_s))

    async def _burst(self, name, dice):
        """Some clients ask for a while; whether the first request woke the Service."""
        until_s = time.monotonic() + dice.uniform(0.2, 2.5)
        before = len(self.tally.workers[name])
        clients = [self._client(name, random.Random(dice.random()), until_s)
                   for _ in range(dice.choice((1, 3, 8, 16)))]
        cold = await asyncio.gather(*clients)
        self.tally.most_at_once = max(self.tally.most_at_once, len(self.tally.workers[name]) - before)
        return any(cold)

    async def _client(self, name, dice, until_s):
        """Asks again and again, on one connection or on many; whether an answer was cold."""
        keeps, was_cold = dice.random() < 0.5, False
        connection = web.Connection(self._port)
        while True:
            was_cold |= await self._ask(connection, name, dice)
            if not keeps:
                await connection.close()
            if time.monotonic() >= until_s:
                break
        await connection.close()
        return was_cold

    async def _ask(self, connection, name, dice):
        number = next(self._numbers)
        sleep_s = dice.uniform(1, 3) if dice.random() < 0.02 else dice.uniform(0, 0.1)
        stream = "&stream=1" if dice.random() < 0.3 else ""
        body = b"x" * dice.choice((0, 10, 200_000))
        target = f"/?id={number}&sleep={sleep_s:.3f}{stream}"
        headers = {"host": f"{name}.default.localhost"}
        method = dice.choice(("GET", "POST"))
        answer = await connection.ask(method, target, headers, body)
        if not self._is_clean(answer, number, len(body)) and name.startswith("victim"):
            self.tally.failed_once += 1
            answer = await self._once_more(method, target, headers, body)
        longest_s = self.tally.longest.get(name, 0)
        self.tally.longest[name] = max(longest_s, round(answer.took_s, 2))
        if not self._is_clean(answer, number, len(body)):
            self.tally.broken.append((name, method, target, len(body), answer))
            return False
        self.tally.answers[name] += 1
        self.tally.cold[name] += answer.cold
        self.tally.workers[name].add(answer.json()["pid"])
        self.tally.revisions[name].add(answer.json()["revision"])
        return answer.cold

    async def _once_more(self, method, target, headers, body):
        """As a delivery is retried: after a pause, a few times, while workers go on being killed."""
        for pause_s in (0.2, 0.4, 0.8, 1.6):
            await asyncio.sleep(pause_s)
            answer = await web.ask(self._port, method, target, headers, body)
            if answer.status == 200:
                break
        return answer

    @staticmethod
    def _is_clean(answer, number, size_bytes):
        if answer.status != 200:
            return False
        said = answer.json()
        return (said["id"], said["size"]) == (str(number), size_bytes)

    async def _publish(self, _name, dice):
        """A burst of events; never cold, as nobody waits for an answer."""
        for _ in range(dice.randrange(1, 40)):
            number = f"e{next(self._numbers)}"
            headers = {"host": "localhost", "ce-id": number, "ce-type": "race.run", "ce-source": "/race",
                       "ce-specversion": "1.0", "content-type": "application/json"}
            body = json.dumps({"sleep": round(dice.uniform(0, 0.2), 3)}).encode()
            answer = await web.ask(self._port, "POST", "/default/race", headers, body)
            if answer.status == 202:
                self.tally.sent.add(number)
            else:
                self.tally.refused.append(answer)
            await asyncio.sleep(dice.uniform(0, 0.05))
        return dice.random() < 0.5

    # -- trouble

    async def _roll_out(self, names):
        """Give every Service a new revision, as often as the race is long."""
        pause_s = self._duration_s / (self._rollouts * len(names) + 1)
        dice = random.Random(self._dice.random())
        for generation in range(1, self._rollouts + 1):
            for name in dice.sample(names, len(names)):
                await asyncio.sleep(pause_s * dice.uniform(0.5, 1))
                await self._patch(name, generation)
                self.tally.rollouts[name] += 1

    async def _patch(self, name, generation):
        path = f"/apis/serving.knative.dev/v1/namespaces/default/services/{name}"
        found = (await web.ask(self._control_port, "GET", path, {"host": "localhost"})).json()
        containers = found["spec"]["template"]["spec"]["containers"]
        containers[0]["env"][0]["value"] = str(generation)
        body = json.dumps({"spec": {"template": {"spec": {"containers": containers}}}}).encode()
        answer = await web.ask(self._control_port, "PATCH", path, {
            "host": "localhost", "content-type": "application/merge-patch+json"}, body)
        assert answer.status == 200, answer

    async def _kill(self, names):
        """Kill workers whose Service's name begins with one of *names*."""
        dice = random.Random(self._dice.random())
        while True:
            await asyncio.sleep(dice.uniform(0.2, 1.5))
            pids = [pid for service, seen in self.tally.workers.items() for pid in seen
                    if f"{service}-".startswith(names) and _name(pid).startswith(service[:15])]
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(pids), signal.SIGKILL)
                    self.tally.killed += 1


def _name(pid):
    """What the kernel calls a process: a worker is called like its revision."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
