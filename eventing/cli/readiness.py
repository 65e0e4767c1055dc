"""
Waiting until applied objects are Ready, and saying meanwhile what they wait for.

An object that says why it cannot become Ready is given some seconds, since others may still be on their way
to it; then waiting has no end that a person would like to see.
"""

import sys
import time
from collections.abc import Mapping

from eventing.cli import output
from eventing.client import Client, Resource
from eventing.control import resource

_POLL_S = 0.05  # a Trigger becomes Ready in about 20 ms
_SAY_AFTER_S = 1.0
# `kn` waits 2 s for a False to become something else (its --wait-window); a pip install says Unknown.
_HOPELESS_AFTER_S = 5.0


def wait(applied: Mapping[str, Resource], client: Client, timeout_s: float) -> dict[str, str]:
    """Wait for all objects of *applied*, by label; those that are not Ready in the end, and why."""
    paths = {label: client.path_of(it, "default") for label, it in applied.items()
             if _has_conditions(it) and client.kind_of(it).has_status}
    began = hopeful = time.monotonic()
    pending = dict.fromkeys(paths, "")
    while pending:
        found = {label: client.find(paths[label]) for label in pending}
        pending = {label: reason for label, it in found.items() if it and (reason := resource.not_ready(it))}
        now = time.monotonic()
        if not pending or any(not _is_false(it) for label, it in found.items() if label in pending):
            hopeful = now
        if now - began > timeout_s or now - hopeful > _HOPELESS_AFTER_S:
            break
        if now - began > _SAY_AFTER_S:
            _say(pending)
        time.sleep(_POLL_S if pending else 0)
    _say({})
    return pending


def _has_conditions(wish: Resource) -> bool:
    return resource.group(wish["apiVersion"]).endswith(".knative.dev")


def _is_false(found: Resource | None) -> bool:
    return resource.condition_status((found or {}).get("status") or {}, resource.READY) == resource.FALSE


def _say(pending: Mapping[str, str]) -> None:
    """One line, written over again and again, on a terminal only."""
    if not sys.stderr.isatty():
        return
    text = "".join(f" {label} ({reason})" for label, reason in pending.items())
    line = f"waiting for{text}"[:79] if pending else ""
    sys.stderr.write(f"\r\x1b[K{output.dim(line) if line else ''}")
    sys.stderr.flush()
