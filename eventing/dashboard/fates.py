"""
What became of one event, for `clarion explain event`.

    GET /fates/NAMESPACE/BROKER?id=EVENT_ID&since=UNIX_TIME
        {"is_whole", "found": [{"id", "partition", "when", "event", "fates": [Fate, ..]}, ..]}

The newest event comes first; `is_whole` is false where there were too many to look at, or to tell of.
"""

from dataclasses import asdict
from typing import Any

import redis.asyncio
from fastapi import APIRouter

from eventing import projection
from eventing.broker import archive, fate
from eventing.dashboard.feeds import as_json
from eventing.errors import NotFound


def routes(store: redis.asyncio.Redis) -> APIRouter:
    """The endpoint, over *store*."""
    router = APIRouter(prefix="/fates", include_in_schema=False)

    @router.get("/{namespace}/{broker}")
    async def fates(namespace: str, broker: str, id: str, since: float) -> dict[str, Any]:  # noqa: A002  the query's word
        name = f"{namespace}/{broker}"
        record = await projection.read_one(store, "brokers", name)
        if record is None:
            raise NotFound(f"there is no broker {name}; clarion get brokers -A lists them")
        partitions = max(1, int(record.get("partitions") or 1))
        found, is_whole = await fate.find(store, name, partitions, id, since)
        triggers = {trigger: wanted for trigger, wanted in (await projection.read(store, "triggers")).items()
                    if wanted["broker"] == name}
        return {"is_whole": is_whole, "found": [
            {"id": entry.id, "partition": entry.partition, "when": archive.when_of(entry.id),
             "event": as_json(entry.event),
             "fates": [asdict(each) for each in await fate.of(store, name, entry, triggers)]}
            for entry in found]}

    return router
