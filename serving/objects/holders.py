"""ConfigMaps and Secrets that variables and files come from: read, and watched, since they may come later."""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from eventing.control.context import Context
from serving.objects import mounting, workload


async def lookup(container: Mapping[str, Any], namespace: str, context: Context) -> workload.Lookup:
    """What `workload.environment` asks for the variables of *container*."""
    found = await _contents(workload.references(container), namespace, context)
    texts = {key: {name: data.decode(errors="replace") for name, data in content.items()}
             for key, content in found.items()}
    return lambda kind, name: texts.get((kind, name))


async def files(pod: Mapping[str, Any], container: Mapping[str, Any], namespace: str,
                context: Context) -> mounting.Lookup:
    """What `mounting.of` asks for the volumes of *container*."""
    found = await _contents(mounting.references(pod, container), namespace, context)
    return lambda kind, name: found.get((kind, name))


async def _contents(wanted: Iterable[tuple[str, str]], namespace: str,
                    context: Context) -> dict[tuple[str, str], Mapping[str, bytes]]:
    found: dict[tuple[str, str], Mapping[str, bytes]] = {}
    for kind, name in wanted:
        context.track(kind, namespace, name)
        holder = await context.get(kind, namespace, name)
        if holder is not None:
            data, binary = holder.get("data") or {}, holder.get("binaryData") or {}
            texts = {} if kind == "Secret" else {key: text.encode() for key, text in data.items()}
            binary = data if kind == "Secret" else binary
            found[kind, name] = texts | {key: b64decode(text) for key, text in binary.items()}
    return found
