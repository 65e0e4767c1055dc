"""
/healthz, /readyz and /metrics of a whole instance: what its processes say on their admin sockets, joined.

    /healthz   200 while this process lives
    /readyz    200 once every role is up and everything given with `-f` is Ready; else 503, a line for each
               thing that is missing: `role: why`, `kind/name: why`
    /metrics   Prometheus' text of all roles, each sample with labels `role` and `index`
"""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from eventing import instance, telemetry
from eventing.config import ROLES, Config
from eventing.http import client as http
from eventing.http.client import Client

# A role's admin endpoint answers in about a millisecond; one that is stuck is a complaint.
_TIMEOUT_S = 1.0
_MAX_METRICS_BYTES = 16 * 1024 * 1024
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health:
    """Asks the role processes of this machine."""

    def __init__(self, config: Config, client: Client, complaints: Callable[[], list[str]]) -> None:
        """*complaints*: what else is missing, asked anew each time; *client* must dial as `dial` says."""
        self._config = config
        self._client = client
        self._complaints = complaints

    async def missing(self) -> list[str]:
        """A line for each thing that is not ready; empty when all is well."""
        answers = await self._ask("/readyz", 4096)
        lines = [f"{_label(process)}: {text.strip()}"
                 for process, (is_ok, text) in answers.items() if not is_ok]
        return lines + self._complaints()

    async def metrics(self) -> str:
        """Everybody's metrics; a role that does not answer is left out."""
        answers = await self._ask("/metrics", _MAX_METRICS_BYTES)
        return telemetry.merge_metrics({process: text for process, (is_ok, text) in answers.items() if is_ok})

    def _processes(self) -> list[tuple[str, int]]:
        """Those that `clarion up` runs; where each role was started by itself, those that are here."""
        config = self._config
        all_of_them = [(role, index) for role in ROLES
                       for index in range(config.dispatchers if role == "dispatcher" else 1)]
        if instance.running(config.data_dir) is not None:
            return all_of_them
        return [process for process in all_of_them if config.admin_socket(*process).exists()]

    async def _ask(self, path: str, max_bytes: int) -> dict[tuple[str, int], tuple[bool, str]]:
        processes = self._processes()
        answers = await asyncio.gather(*(self._ask_one(process, path, max_bytes) for process in processes))
        return dict(zip(processes, answers, strict=True))

    async def _ask_one(self, process: tuple[str, int], path: str, max_bytes: int) -> tuple[bool, str]:
        role, index = process
        try:
            answer = await self._client.request("GET", f"http://{role}:{index + 1}{path}", (),
                                                timeout_s=_TIMEOUT_S, max_answer_bytes=max_bytes)
        except http.NoAnswer as error:
            return False, f"not up ({error})"
        return answer.status == 200, answer.body.decode(errors="replace")  # noqa: PLR2004


def _label(process: tuple[str, int]) -> str:
    role, index = process
    return f"{role}-{index}" if index else role


def routes(health: Health) -> APIRouter:
    """The three endpoints."""
    router = APIRouter()

    @router.get("/healthz", include_in_schema=False)
    @router.get("/livez", include_in_schema=False)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @router.get("/readyz", include_in_schema=False)
    async def readyz() -> PlainTextResponse:
        missing = await health.missing()
        return PlainTextResponse("".join(f"{line}\n" for line in missing) or "ok\n", 503 if missing else 200)

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(await health.metrics(), media_type=_METRICS_TYPE)

    return router
