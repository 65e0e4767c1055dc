"""
From a function's folder to a Service that answers: bundle, apply, subscriptions, and the wait.

What goes on is what the newest Revision's conditions say; a Service that says no for ERROR_WINDOW_S has
failed, though the serving role goes on trying.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from eventing import apply as applying
from eventing.cli import output
from eventing.client import Client, Resource
from eventing.documents import Document
from eventing.errors import ClarionError, UsageError
from serving.functions import funcyaml, manifest

# func's own: a worker that dies once at its start may well live the next time.
ERROR_WINDOW_S = 2.0
_POLL_S = 0.1
_LINE_CHARACTERS = 100

_SERVING = "/apis/serving.knative.dev/v1/namespaces/{}/{}"
_EVENTING = "/apis/eventing.knative.dev/v1/namespaces/{}/{}"


class Deployment:
    """One function on its way to one namespace."""

    def __init__(self, client: Client, function: funcyaml.Function, folder: Path, namespace: str) -> None:
        """Nothing is done yet."""
        self._client = client
        self._function = function
        self._folder = folder
        self._namespace = namespace
        self._path = f"{_SERVING.format(namespace, 'services')}/{function.name}"
        self._shown = ""
        self.url = ""

    def apply(self, changes: list[str], own: Mapping[str, str]) -> None:
        """
        Store the Service and its Triggers; Triggers of subscriptions that are no more go.

        Args:
            changes: of variables, NAME=VALUE or NAME-.
            own: the environment of who deploys.

        Raises:
            UsageError: folder or func.yaml are not what they should be.
            Refused: the API said no.
        """
        for field in self._function.ignored:
            self._say(f"{self._function.place}: {field} means nothing on this machine and is left out")
        wanted = manifest.service(self._function, own)
        container = wanted["spec"]["template"]["spec"]["containers"][0]
        if changes:
            container["env"] = with_changes(container.get("env") or [], changes)
        what, service = self._apply(wanted)
        verb = {"created": "deployed", "configured": "updated"}.get(what, what)
        self._say(f'Function {self._function.name} {verb} in namespace "{self._namespace}"')
        self._subscribe(service)

    def _apply(self, wanted: Resource) -> tuple[str, Resource]:
        # The document is the folder's own, so that its image, func://., is the folder.
        document = Document(wanted, self._folder / funcyaml.FILE, self._function.place)
        return applying.apply(document, self._client, self._namespace)

    def _subscribe(self, service: Resource) -> None:
        owner = {"apiVersion": service["apiVersion"], "kind": service["kind"],
                 "name": service["metadata"]["name"], "uid": service["metadata"]["uid"]}
        triggers = manifest.triggers(self._function)
        for trigger in triggers:
            trigger["metadata"]["ownerReferences"] = [owner]
            what, _ = self._apply(trigger)
            self._say(f"trigger/{trigger['metadata']['name']} {what}")
            self._look_for_broker(trigger)
        kept = {trigger["metadata"]["name"] for trigger in triggers}
        path = _EVENTING.format(self._namespace, "triggers")
        prefix = manifest.trigger_prefix(self._function.name)
        for trigger in self._client.get(path)["items"]:
            name, owners = trigger["metadata"]["name"], trigger["metadata"].get("ownerReferences") or ()
            is_ours = name.startswith(prefix) and any(one["uid"] == owner["uid"] for one in owners)
            if is_ours and name not in kept:
                self._client.delete(f"{path}/{name}")
                self._say(f"trigger/{name} deleted")

    def _look_for_broker(self, trigger: Resource) -> None:
        """It may come later, so a Trigger of one that is not there is no error; but mostly it is a typo."""
        name, broker = trigger["metadata"]["name"], trigger["spec"]["broker"]
        if self._find(_EVENTING, "brokers", broker) is None:
            self._say(f"trigger/{name} gets no events yet: there is no Broker {broker} in namespace "
                      f"{self._namespace}; apply one, or name another in deploy.subscriptions (clarion get "
                      "brokers lists them)")

    def _find(self, api: str, plural: str, name: str) -> Resource | None:
        return self._client.find(f"{api.format(self._namespace, plural)}/{quote(name, safe='')}")

    def wait(self, limit_s: float) -> None:
        """
        Return once the Service is Ready; its URL is `url` then.

        Raises:
            ClarionError: it is not, after *limit_s*, or it says that it cannot be.
        """
        deadline = time.monotonic() + limit_s
        failing_since: float | None = None
        while True:
            service = self._client.get(self._path)
            newest = (service.get("status") or {}).get("latestCreatedRevisionName")
            ready, text = progress(service, self._find(_SERVING, "revisions", newest) if newest else None)
            now = time.monotonic()
            if ready == "True":
                self._show("")
                self.url = service["status"]["url"]
                return
            failing_since = (failing_since or now) if ready == "False" else None
            if failing_since is not None and now - failing_since >= ERROR_WINDOW_S:
                self._show("")
                raise ClarionError(f"{text} (see clarion logs {self._function.name} -n {self._namespace})")
            if now >= deadline:
                self._show("")
                raise ClarionError(f"it is not ready after {limit_s:g} s: {text}")
            self._show(text)
            time.sleep(_POLL_S)

    def _show(self, text: str) -> None:
        """Progress: one line that is rewritten on a terminal, elsewhere a line for each new text."""
        if text == self._shown:
            return
        self._shown = text
        line = " ".join(text.split())
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{line[:_LINE_CHARACTERS]}\r")
            sys.stderr.flush()
        elif line:
            self._say(line)

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(f"{output.dim(text)}\n")
        sys.stderr.flush()


def progress(service: Resource, revision: Resource | None) -> tuple[str, str]:
    """
    Status of the Ready of *service* (Unknown while it is an older one's), and what there is to say.

    *revision* is the one that its status calls the newest.
    """
    said = _conditions(service)
    # While its Configuration is behind, the newest Revision is the one before.
    is_behind = said.get("ConfigurationsReady", {}).get("reason") == "OutOfDate"
    observed = (service.get("status") or {}).get("observedGeneration")
    if is_behind or observed != service["metadata"]["generation"]:
        return "Unknown", "waiting for the control plane"
    ready, conditions = said.get("Ready", {}), _conditions(revision or {})
    causes = [conditions.get(type_, {}) for type_ in ("ResourcesAvailable", "ContainerHealthy")]
    causes.sort(key=lambda one: one.get("status") != "False")  # which says more than Unknown
    for one in causes:
        if one.get("status") in {"False", "Unknown"} and one.get("reason"):
            text = f"{one['reason']}: {one.get('message', '')}".rstrip(": ")
            return ready.get("status", "Unknown"), text
    text = f"{ready.get('reason', '')}: {ready.get('message', '')}".strip(": ")
    return ready.get("status", "Unknown"), text or "waiting for the Revision"


def _conditions(item: Resource) -> dict[str, Resource]:
    return {one["type"]: one for one in (item.get("status") or {}).get("conditions") or ()}


def with_changes(env: list[Resource], changes: list[str]) -> list[Resource]:
    """*env* of a container after *changes*, each NAME=VALUE or NAME-; UsageError for anything else."""
    found = {one["name"]: one for one in env}
    for change in changes:
        name, is_set, value = change.partition("=")
        if is_set and name:
            found[name] = {"name": name, "value": value}
        elif change.endswith("-") and len(change) > 1:
            found.pop(change[:-1], None)
        else:
            raise UsageError(f"--env {change}: give NAME=VALUE, or NAME- to leave one out")
    return list(found.values())
