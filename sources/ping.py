"""
PingSource: an event whenever a cron line says so.

An event's id is made from the source's uid and its tick, so one that is sent twice (the answer was lost, the
process was killed) can be recognised. What becomes of ticks that pass while Clarion is down, or while the
sink still refuses the one before, the annotation `clarion.dev/missed` says:

    skip   they are left out, as in Knative (the default)
    once   the latest of them is made up for
    all    each of them is, oldest first; of more than 100 the latest 100

To that end the last tick that the sink took is stored, from the first start with `once` or `all` on. A tick
that the sink refuses for good is given up: it goes to `delivery.deadLetterSink` if there is one.
"""

import asyncio
import base64
import binascii
import dataclasses
import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from eventing.control import field, resource, settings
from eventing.control.field import FieldError
from eventing.control.kind import Column, Defaults, View, register
from eventing.control.resource import Resource
from eventing.event import Event
from eventing.projection import Record
from sources import cron
from sources.adapter import source_kind
from sources.source import CeAttributes, Emit, Refused, source, spec_of

_CONFIG = ("knative-eventing", "config-ping-defaults")
_DATA_LIMIT = "data-max-size"

EVENT_TYPE = "dev.knative.sources.ping"

_DEPRECATED = ("sources.knative.dev/v1beta2 PingSource is deprecated; see "
               "https://knative.dev/docs/eventing/sources/ping-source/ for instructions to migrate to "
               "sources.knative.dev/v1 PingSource")

MISSED = "clarion.dev/missed"
# How many missed ticks are made up for. Kubernetes gives a CronJob up that missed more than a hundred.
_MADE_UP = {"skip": 0, "once": 1, "all": 100}

# A sleep is cut so that a clock that was set is noticed; 10,000 sources then wake 33 times a second.
_LONGEST_SLEEP_S = 300.0

# What Go calls the JSON values that are no object.
_GO_NAMES: dict[type, str] = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}


@source("PingSource", is_small=True)
async def ping(record: Record, emit: Emit) -> None:
    """Emit at every tick, for ever."""
    spec = spec_of(record)
    schedule = cron.parse(spec["schedule"], spec.get("timezone", ""))
    attributes, data = _template(record)
    made_up = _MADE_UP[record["missed"]]
    emit.ready()
    done = float(record["place"] or time.time())
    if made_up or record["place"]:
        emit.remember(str(done) if made_up else "")
    while True:
        for tick in schedule.due(done, time.time(), made_up):
            await _sleep_until(tick)
            await _fire(Event({**attributes, **_identity(record["uid"], tick)}, data), emit)
            done = tick
            if made_up:
                emit.remember(str(done))


async def _fire(event: Event, emit: Emit) -> None:
    try:
        await emit(event)
    except Refused as refused:
        await emit.give_up(event, refused)


async def _sleep_until(when: float) -> None:
    while (left_s := when - time.time()) > 0:  # noqa: ASYNC110  it is a clock that we wait for
        await asyncio.sleep(min(left_s, _LONGEST_SLEEP_S))


def _identity(uid: str, tick: float) -> dict[str, str]:
    return {
        "id": str(uuid.uuid5(uuid.UUID(uid), str(int(tick)))),
        "time": datetime.fromtimestamp(tick, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _template(record: Record) -> tuple[dict[str, str], bytes | None]:
    """What all events of one source share."""
    spec = spec_of(record)
    attributes = {"specversion": "1.0", "type": EVENT_TYPE, "source": record["source"]}
    if spec.get("contentType"):
        attributes["datacontenttype"] = spec["contentType"]
    if spec.get("dataBase64"):
        return attributes, base64.b64decode(spec["dataBase64"])
    return attributes, spec["data"].encode() if spec.get("data") else None


def _default(pingsource: Resource, old: Resource | None, defaults: Defaults) -> None:
    del old, defaults
    spec = pingsource.setdefault("spec", {})
    if isinstance(spec, dict) and not spec.get("schedule"):
        spec["schedule"] = "* * * * *"


def _validate(pingsource: Resource, old: Resource | None, defaults: Defaults) -> list[FieldError]:
    del old
    errors = field.via_field(_validate_spec(resource.spec(pingsource), defaults), "spec")
    missed = resource.annotations(pingsource).get(MISSED)
    if missed is not None and missed not in _MADE_UP:
        wrong = field.invalid_value(missed, f"metadata.annotations[{MISSED}]", "expected skip, once or all")
        errors.append(wrong)
    return errors


def _validate_spec(spec: Mapping[str, Any], defaults: Defaults) -> list[FieldError]:
    errors = []
    try:
        cron.parse(str(spec.get("schedule", "")), str(spec.get("timezone") or ""))
    except cron.ScheduleInvalid as wrong:
        errors.append(field.invalid_value(wrong, wrong.field))
    if spec.get("data") and spec.get("dataBase64"):
        errors.append(field.one_of_both("data", "dataBase64"))
    elif spec.get("data"):
        errors += _validate_text(spec, defaults)
    elif spec.get("dataBase64"):
        errors += _validate_base64(str(spec["dataBase64"]), defaults)
    return errors


def _validate_text(spec: Mapping[str, Any], defaults: Defaults) -> list[FieldError]:
    data = str(spec["data"])
    errors = _validate_size(len(data.encode()), "data", defaults)
    if spec.get("contentType") == "application/json":
        try:
            value = json.loads(data)
        except ValueError as error:
            return [*errors, field.invalid_value(error, "data")]
        if value is not None and not isinstance(value, dict):
            name = _GO_NAMES[type(value)]
            message = f"json: cannot unmarshal {name} into Go value of type map[string]interface {{}}"
            errors.append(field.invalid_value(message, "data"))
    return errors


def _validate_base64(text: str, defaults: Defaults) -> list[FieldError]:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        position = next((i for i, c in enumerate(text) if c not in alphabet), len(text))
        return [field.invalid_value(f"illegal base64 data at input byte {position}", "dataBase64")]
    return _validate_size(len(data), "dataBase64", defaults)


def _limit_bytes(data: Mapping[str, str]) -> int:
    """`data-max-size` of ConfigMap config-ping-defaults; -1: no limit. ValueError if it is none."""
    text = data.get(_DATA_LIMIT, "-1")
    if not re.fullmatch(r"-1|\d{1,18}", text, re.ASCII):
        raise ValueError(f"{_DATA_LIMIT} = {text}, must be a whole number of bytes, or -1 (no limit)")
    return int(text)


settings.register(*_CONFIG, _limit_bytes, (_DATA_LIMIT,))


def _validate_size(size_bytes: int, path: str, defaults: Defaults) -> list[FieldError]:
    limit = _limit_bytes(defaults.config(*_CONFIG))
    if 0 <= limit < size_bytes:
        message = f"the data length of {size_bytes} bytes exceeds limit set at {limit}."
        return [field.invalid_value(message, path)]
    return []


def _ce_attributes(pingsource: Resource) -> CeAttributes:
    namespace, name = resource.namespace(pingsource), resource.name(pingsource)
    return [{"type": EVENT_TYPE, "source": f"/apis/v1/namespaces/{namespace}/pingsources/{name}"}]


def _details(pingsource: Resource) -> dict[str, Any]:
    return {"missed": resource.annotations(pingsource).get(MISSED, "skip")}


KIND = source_kind(
    "PingSource", columns=(Column("Schedule", ".spec.schedule"),), default=_default, validate=_validate,
    fields={"schedule": str, "timezone": str, "contentType": str, "data": str, "dataBase64": str},
    ce_attributes=_ce_attributes, details=_details, annotations=(MISSED,),
)


def _show(pingsource: Resource, _config: object) -> Resource:
    return {**pingsource, "apiVersion": OLDER.api_version}


def _take(pingsource: Resource, admission: Defaults) -> Resource:
    admission.warn(_DEPRECATED)
    return {**pingsource, "apiVersion": KIND.api_version}


# Knative serves it still; it has the same fields.
OLDER = register(dataclasses.replace(KIND, version="v1beta2", view=View(KIND, _show, _take)))
