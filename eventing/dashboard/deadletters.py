"""
What waits for Triggers and what was given up, for commands.

    GET  /dead/NAMESPACE                           [waiting, ..]
    GET  /dead/NAMESPACE/TRIGGER[?after=&limit=]   [letter, ..], oldest first
    GET  /dead/NAMESPACE/TRIGGER/waiting           waiting
    GET  /dead/NAMESPACE/TRIGGER/ID                letter
    POST /dead/NAMESPACE/TRIGGER/redrive|purge     {"ids": [..]} -> {"count"}

What waits is {"trigger", "backlog", "retries", "dead", "held", "open", "open_s", "lag_s"} and "failure",
"drops", "letter" and "unjudged", each an object or null, as Waiting has them.
A letter is {"id", "when", "attempts", "status", "destination", "reason", "body", "event"}: `when` in RFC
3339, `status` 0 where there was no answer, `event` in CloudEvents' JSON form. One that the dead letter sink
did not take either has "sink": {"attempts", "status", "destination", "body"}, too.
"""

from dataclasses import asdict
from typing import Annotated, Any

import redis.asyncio
from fastapi import APIRouter, Body, Query

from eventing import projection
from eventing.broker.deadletters import DeadLetter, of_trigger
from eventing.control.resource import timestamp
from eventing.dashboard.feeds import as_json

_LIMIT = 1000  # of one answer; events may be large

Ids = Annotated[list[str], Body(embed=True, max_length=_LIMIT)]


def _shown(letter: DeadLetter) -> dict[str, Any]:
    shown = {"id": letter.id, "when": timestamp(letter.when), "attempts": letter.attempts,
             "status": letter.status, "destination": letter.destination, "reason": letter.reason,
             "body": letter.body.decode(errors="replace")}
    if letter.sink is not None:
        shown["sink"] = {**asdict(letter.sink), "body": letter.sink.body.decode(errors="replace")}
    return {**shown, "event": as_json(letter.event)}


async def _waiting(store: redis.asyncio.Redis, name: str) -> dict[str, Any]:
    found = await (await of_trigger(store, name)).waiting()
    return {"trigger": name.partition("/")[2], **asdict(found)}


def routes(store: redis.asyncio.Redis) -> APIRouter:
    """The endpoints, over *store*."""
    router = APIRouter(prefix="/dead", include_in_schema=False)

    @router.get("/{namespace}")
    async def counts(namespace: str) -> list[dict[str, Any]]:
        names = sorted(await projection.read(store, "triggers"))
        return [await _waiting(store, name) for name in names if name.startswith(f"{namespace}/")]

    @router.get("/{namespace}/{trigger}/waiting")
    async def waiting(namespace: str, trigger: str) -> dict[str, Any]:
        return await _waiting(store, f"{namespace}/{trigger}")

    @router.get("/{namespace}/{trigger}")
    async def page(namespace: str, trigger: str, after: str | None = None,
                   limit: Annotated[int, Query(ge=1, le=_LIMIT)] = 100) -> list[dict[str, Any]]:
        letters = await of_trigger(store, f"{namespace}/{trigger}")
        return [_shown(letter) for letter in await letters.find(limit=limit, after=after)]

    @router.get("/{namespace}/{trigger}/{letter_id}")
    async def show(namespace: str, trigger: str, letter_id: str) -> dict[str, Any]:
        return _shown(await (await of_trigger(store, f"{namespace}/{trigger}")).show(letter_id))

    @router.post("/{namespace}/{trigger}/redrive")
    async def redrive(namespace: str, trigger: str, ids: Ids) -> dict[str, int]:
        return {"count": await (await of_trigger(store, f"{namespace}/{trigger}")).redrive(ids)}

    @router.post("/{namespace}/{trigger}/purge")
    async def purge(namespace: str, trigger: str, ids: Ids) -> dict[str, int]:
        return {"count": await (await of_trigger(store, f"{namespace}/{trigger}")).purge(ids)}

    return router
