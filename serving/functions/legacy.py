"""
What functions written years ago import, and how they speak to an event: standing in for it.

    import                            is
    ------                            --
    cloudevents.http, .conversion ..  the same of cloudevents.v1, where the SDK keeps its old interface
    parliament                        serving/functions/parliament.py

Asked last: what is installed under these names comes first. An event that a function gets answers to both
interfaces, `event.get_data()` and `event.data`, `event.get_type()` and `event["type"]`; one of the old class
may be returned or sent.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.v03.event import CloudEvent as CloudEventV03
from cloudevents.core.v1.event import CloudEvent

_SDK, _OLD = "cloudevents.", "cloudevents.v1."
_PARLIAMENT = "parliament"


class _StandIn(MetaPathFinder, Loader):
    """Finds the modules of the table, and makes them out of what stands in for them."""

    def find_spec(self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None,
                  ) -> ModuleSpec | None:
        if _stands_in(fullname) is None:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        found = importlib.import_module(_stands_in(module.__name__) or "")
        module.__dict__.update({name: value for name, value in vars(found).items() if name[:2] != "__"})


def _stands_in(name: str) -> str | None:
    if name == _PARLIAMENT:
        return "serving.functions.parliament"
    if name.startswith(_SDK) and not name.startswith((_OLD, "cloudevents.core")) and name != _OLD[:-1]:
        old = _OLD + name.removeprefix(_SDK)
        return old if importlib.util.find_spec(old) else None
    return None


class _Both:
    """The old interface, beside the new one."""

    get_attributes: Any
    get_data: Any

    @property
    def data(self) -> Any:
        """The event's data."""
        return self.get_data()

    def __getitem__(self, name: str) -> Any:
        """Attribute *name*; its time is text, as it was."""
        value = self.get_attributes()[name]
        return value.isoformat() if isinstance(value, datetime) else value

    def get(self, name: str, default: Any = None) -> Any:
        """Attribute *name*, or *default*."""
        return self[name] if name in self.get_attributes() else default

    def __contains__(self, name: object) -> bool:
        """Whether there is such an attribute."""
        return name in self.get_attributes()

    def __iter__(self) -> Iterator[str]:
        """Names of its attributes."""
        return iter(self.get_attributes())

    def __len__(self) -> int:
        """How many attributes it has."""
        return len(self.get_attributes())


class Event(_Both, CloudEvent):
    """An event of version 1.0, as functions get it."""


class EventV03(_Both, CloudEventV03):
    """An event of version 0.3, as functions get it."""


def modern(value: Any) -> BaseCloudEvent | None:
    """
    *value*, if it is an event of either interface, as one of the new; else None.

    Raises:
        ValueError: its attributes are none of a CloudEvent's.
    """
    if isinstance(value, CloudEvent | CloudEventV03):
        return value
    if not type(value).__module__.startswith(_OLD):  # asked by name: nobody pays for importing it in vain
        return None
    attributes = dict(value.get_attributes())
    if isinstance(attributes.get("time"), str):
        attributes["time"] = datetime.fromisoformat(attributes["time"])
    kind = CloudEventV03 if attributes.get("specversion") == "0.3" else CloudEvent
    return kind(attributes, value.get_data())


def install() -> None:
    """Let the modules of the table be found in this process."""
    sys.meta_path.append(_StandIn())
