"""
What may stand in the ConfigMaps that steer Knative: a register of checks, and admission's verdict. Pure.

Whoever reads such a ConfigMap registers, on import, what is wrong with its data; a value that cannot be used
is refused where it is written, since its reader could only fall back to a default that nobody asked for. A
key that nobody reads is stored, with a warning. The webhook is Knative's `config.webhook.*`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

EXAMPLE = "_example"  # documentation within the ConfigMap, never read

Data = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """One ConfigMap: its *check* raises ValueError, which names key, value and what is allowed."""

    check: Callable[[Data], object]
    keys: Collection[str]  # those that mean something; empty: any may


_known: dict[tuple[str, str], Settings] = {}


def register(namespace: str, name: str, check: Callable[[Data], object], keys: Collection[str] = ()) -> None:
    """Have *check* judge the ConfigMap *name* in *namespace*; *keys* are all that it reads."""
    _known[(namespace, name)] = Settings(check, keys)


def problem(namespace: str, name: str, data: Data) -> str:
    """What is wrong with *data*; "" if nothing is, or nobody reads that ConfigMap."""
    settings = _known.get((namespace, name))
    if settings is None:
        return ""
    try:
        settings.check(data)
    except ValueError as error:
        return str(error)
    return ""


def unread(namespace: str, name: str, data: Data) -> Iterator[str]:
    """A sentence for each key of *data* that nobody reads, with the one that may have been meant."""
    settings = _known.get((namespace, name))
    if settings is None or not settings.keys:
        return
    for key in data:
        if key != EXAMPLE and key not in settings.keys:
            meant = get_close_matches(key, settings.keys, n=1)
            hint = f": did you mean {meant[0]}?" if meant else ""
            yield f'unknown key "{key}" in {namespace}/{name}{hint}'


def one_of(data: Data, key: str, allowed: Collection[str]) -> None:
    """Raise ValueError if *key* is there and its value, in small letters, is none of *allowed*."""
    if key in data and data[key].lower() not in allowed:
        raise ValueError(f"{key} = {data[key]}, must be one of {', '.join(sorted(allowed))}")
