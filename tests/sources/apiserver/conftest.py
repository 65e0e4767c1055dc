"""ApiServerSources as their reconciler projects them, and a sink of what they tell."""

import asyncio
import itertools
import uuid

import pytest

from eventing import projection
from tests.sources.sink import Sink


class Changes(Sink):
    """A sink of what was done to objects."""

    def changes(self):
        """(add|update|delete, name) of every event, in order."""
        return [(type_.rpartition(".")[2], name) for type_, name in self.told("type", "name")]


@pytest.fixture
async def sink():
    """A sink that listens."""
    async with Changes() as made:
        yield made


class Flow:
    """An ApiServerSource as its reconciler projects it, of ConfigMaps in a namespace of its own."""

    def __init__(self, store, kubernetes, sink):
        self.store = store
        self.kubernetes = kubernetes
        self.sink = sink
        self.namespace = kubernetes.namespace(team="a")
        self.name = f"ApiServerSource/{self.namespace}/watch"
        self.secrets = {"kubeconfig": kubernetes.kubeconfig.read_text()}
        self._numbers = itertools.count()
        self.record = {
            "uid": str(uuid.uuid4()), "generation": 1, "source": "", "sink": sink.url, "extensions": {},
            "delivery": None, "secret_versions": ["1"], "namespace": self.namespace, "kubeconfig": "",
            "context": "", "skips_permissions_check": False,
            "spec": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}], "mode": "Reference"}}

    async def project(self, **spec):
        """Write or change the source."""
        self.record["spec"].update(spec)
        self.record["generation"] += 1
        await projection.write(self.store, "source-secrets", self.name, self.secrets)
        await projection.write(self.store, "sources", self.name, self.record)

    async def apply(self, **spec):
        """Write or change the source; returns its state once it is ready."""
        await self.project(**spec)
        return await self.until(lambda state: state["ready"])

    async def delete(self):
        """Take it away; what it knows stays."""
        await projection.write(self.store, "sources", self.name, None)

    async def until(self, condition):
        """The state that the sources role reports, once *condition* holds of this generation's."""
        async with asyncio.timeout(60):
            while True:
                state = await projection.read_one(self.store, "source-states", self.name)
                if state and state["generation"] == self.record["generation"] and condition(state):
                    return state
                await asyncio.sleep(0.02)

    async def kubectl(self, *arguments):
        """What `kubectl` prints, in the flow's namespace."""
        return await asyncio.to_thread(self.kubernetes.kubectl, "-n", self.namespace, *arguments)

    async def apply_config_map(self, name, value="1"):
        """Create or change one with `kubectl apply`."""
        await asyncio.to_thread(self.kubernetes.apply, config_map(name, value, self.namespace, {}))

    async def config_map(self, name, value="1", *, namespace="", **labels):
        """Create or change one."""
        await self._write(namespace or self.namespace, [(name, value, labels)])

    async def config_maps(self, count, value="1"):
        """Create or change many in one go: n-0, n-1, ..."""
        await self._write(self.namespace, [(f"n-{number}", value, {}) for number in range(count)])

    async def _write(self, namespace, wanted):
        made = [config_map(name, value, namespace, labels) for name, value, labels in wanted]
        await asyncio.to_thread(self.kubernetes.write, f"/api/v1/namespaces/{namespace}/configmaps", *made)

    async def stop_api(self, *how):
        """Take the API server away."""
        await asyncio.to_thread(self.kubernetes.stop_api, *how)

    async def start_api(self):
        """Bring it back."""
        await asyncio.to_thread(self.kubernetes.start_api)


def config_map(name, value, namespace, labels):
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": value},
            "metadata": {"name": name, "namespace": namespace, "labels": labels}}


@pytest.fixture
async def flow(store, kubernetes, sink):
    """An ApiServerSource to apply; nothing of the cluster's own (kube-root-ca.crt) is in its namespace."""
    return Flow(store, kubernetes, sink)


@pytest.fixture
async def neighbour(store, kubernetes):
    """A second ApiServerSource, with a sink of its own."""
    async with Changes() as sink:
        yield Flow(store, kubernetes, sink)
