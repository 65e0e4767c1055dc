"""
The control role: the Kubernetes API, the reconcilers, and what looks at the whole instance.

    plane       store, admission, reconcilers of every kind that is found in `kinds`, `sources`, `serving`
    api         /api /apis /openapi over it, and beside them /healthz /readyz /metrics /bundles /feeds
    given       the files of `-f`: applied over the API like anybody's, then watched until all are Ready

Stops in the order in which these depend on each other: no new request, watches and feeds end, running
reconciliations finish.
"""

import asyncio
import contextlib
import importlib
import pkgutil
from collections.abc import Iterator

import structlog
import uvicorn

from eventing import apply, documents, instance
from eventing.client import Client, Refused
from eventing.config import Config
from eventing.control import api, kind, resource
from eventing.control.plane import Plane
from eventing.dashboard import bundles, deadletters, fates, feeds, health
from eventing.documents import Document, Resource
from eventing.errors import ClarionError
from eventing.http import client as http
from eventing.runtime import Runtime

# Kinds register themselves on import. `serving` has much beside its kinds that this process does not need.
_KINDS = ("eventing.kinds", "serving.kinds")
_FOLDERS = ("sources",)

_KEEP_ALIVE_S = 75  # longer than clients keep theirs; kubectl's connections live 90 s but notice
_END_FEEDS_S = 2  # they end by themselves within about one
_RETRY_S = 0.5
_REFUSED = "refused"  # and so will it be until the file is another one
_LOOK_S = 0.05  # between two looks at what was given, only until it is Ready; in memory

log = structlog.get_logger(__name__)


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its own idea of signals: the role's surroundings have one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


async def run(runtime: Runtime) -> None:
    """Serve the control port until the role is to stop."""
    register_kinds()
    config = runtime.config
    plane = Plane(config, runtime.store)
    given = Given(config, plane)
    client = http.Client(dial=lambda host, port: str(config.admin_socket(host, port - 1)))
    app = api.build(plane)
    app.include_router(health.routes(health.Health(config, client, given.missing)))
    app.include_router(bundles.routes(runtime.store))
    app.include_router(feeds.routes(config, runtime.store, runtime.stopping))
    app.include_router(deadletters.routes(runtime.store))
    app.include_router(fates.routes(runtime.store))
    server = _Uvicorn(uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_END_FEEDS_S))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[runtime.sockets["control"]]))
            tasks.create_task(plane.run(runtime.stopping))
            applying = tasks.create_task(given.run())
            await plane.started.wait()
            runtime.ready()
            await runtime.stopping.wait()
            applying.cancel()
            server.should_exit = True
    finally:
        await client.close()


def register_kinds() -> None:
    """Import every module in which a kind is."""
    for name in _KINDS:
        importlib.import_module(name)
    for name in _FOLDERS:
        for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
            importlib.import_module(f"{name}.{module.name}")


class Given:
    """The files of `-f`: what of them is not applied, or not Ready yet."""

    def __init__(self, config: Config, plane: Plane) -> None:
        """Nothing is read yet."""
        self._config = config
        self._plane = plane
        self._missing = {"files": "not applied yet"} if config.files else {}

    def __repr__(self) -> str:
        """How much is missing."""
        return f"<Given [{len(self._missing)} missing]>"

    def missing(self) -> list[str]:
        """A line for each object that is not Ready."""
        return [f"{label}: {why}" for label, why in self._missing.items()]

    async def run(self) -> None:
        """Apply, then watch until nothing is missing."""
        if not self._config.files:
            return
        await self._plane.started.wait()
        try:
            given = await asyncio.to_thread(documents.read, self._config.files)
        except ClarionError as error:
            self._missing = {"files": str(error)}
            log.error("files_not_read", error=str(error))  # noqa: TRY400  the line says it all
            return
        self._missing = {document.label: "not applied yet" for document in given}
        for document in given:
            await self._apply(document)
        while any(not why.startswith(_REFUSED) for why in self._missing.values()):
            await asyncio.sleep(_LOOK_S)
            self._look(given)

    async def _apply(self, document: Document) -> None:
        """One document; a refusal stays as what is missing, a server that is not there is asked again."""
        while True:
            try:
                what, _ = await asyncio.to_thread(self._send, document)
            except Refused as error:
                if error.status < 500:  # noqa: PLR2004  it would be refused again
                    return self._failed(document, error)
                log.warning("apply_failed", object=document.label, error=str(error))
                await asyncio.sleep(_RETRY_S)
            except ClarionError as error:
                return self._failed(document, error)
            else:
                tell = log.debug if what == "unchanged" else log.info  # it is not news at every start
                tell("applied", object=document.label, what=what)
                self._missing[document.label] = "not Ready yet"
                return None

    def _send(self, document: Document) -> tuple[str, Resource]:
        url = f"http://{instance.reachable(self._config.host)}:{self._config.control_port}"
        with Client(url) as client:
            applied = apply.apply(document, client, "default")
            for warning in apply.warnings(client):
                log.warning("apply_warned", object=document.label, warning=warning)
            return applied

    def _failed(self, document: Document, error: ClarionError) -> None:
        log.error("not_applied", object=document.label, place=document.place, error=str(error))
        self._missing[document.label] = f"{_REFUSED}: {' '.join(str(error).split())} ({document.place})"

    def _look(self, given: list[Document]) -> None:
        for document in given:
            if self._missing.get(document.label, _REFUSED).startswith(_REFUSED):
                continue
            complaint = self._complaint(document)
            if complaint:
                self._missing[document.label] = complaint
            else:
                del self._missing[document.label]

    def _complaint(self, document: Document) -> str:
        """Why the object is not Ready; empty when it is, or when its kind has no such condition."""
        wish = document.resource
        its_kind = kind.of(wish["apiVersion"], wish["kind"])
        assert its_kind is not None  # it was applied
        home = wish["metadata"].get("namespace", "default") if its_kind.namespaced else ""
        found = self._plane.store.get(its_kind, home, wish["metadata"]["name"])
        if found is None:
            return ""  # somebody deleted it meanwhile: no longer wanted
        return resource.not_ready(found) if its_kind.reconcile and its_kind.has_status else ""
