"""ConfigMaps and Secrets that variables come from: read, and watched, since they may come later."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from eventing.control.context import Context
from serving.objects import workload


async def lookup(container: Mapping[str, Any], namespace: str, context: Context) -> workload.Lookup:
    """What `workload.environment` asks for the variables of *container*."""
    found: dict[tuple[str, str], Mapping[str, str]] = {}
    for kind, name in workload.references(container):
        context.track(kind, namespace, name)
        holder = await context.get(kind, namespace, name)
        if holder is not None:
            data = holder.get("data") or {}
            if kind == "Secret":
                data = {key: b64decode(text).decode(errors="replace") for key, text in data.items()}
            found[kind, name] = data
    return lambda kind, name: found.get((kind, name))
