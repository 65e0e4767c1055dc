"""
Which triggers want an event: one index over all filters of a broker, so that none is asked in vain.

Every trigger hangs on one hook, a clause that its filter cannot do without; an event looks up its own
attributes among the hooks, and only what hangs there is evaluated:

    exact     attribute = value            one look-up an attribute
    prefix    attribute starts with value  one look-up an attribute and length of prefix in use
    suffix    attribute ends with value    likewise
    loose     no such clause               always evaluated

Of several clauses the hook is an exact one before a prefix or suffix, and the one where least hangs already.
So an event that 1 of 10,000 triggers wants costs about what it costs with 1. Adding, changing and removing
a trigger costs the same whatever their number. This module is pure: no I/O, no clock.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventing.broker.filters import Predicate, attribute, compile_filter, take_subject, visible
from eventing.broker.subject import Subject

Key = TypeVar("Key")
# (kind, attribute, value), kind being a dialect.
Clause = tuple[str, str, str]

_HOOKS = ("exact", "prefix", "suffix")


@dataclass(slots=True)
class _Hung(Generic[Key]):
    """A trigger in the index; no predicate when its hook says all that its filter does."""

    key: Key
    hook: Clause | None
    predicate: Predicate | None


_Bucket = dict[Key, _Hung[Key]]


def _unheard(_key: object, _reason: str) -> None:
    pass


class Matcher(Generic[Key]):
    """The index; *Key* is whatever the caller calls a trigger by."""

    def __init__(self, on_unjudged: Callable[[Key, str], None] = _unheard) -> None:
        """Match nothing; *on_unjudged* is told which trigger could not look at an event, and why."""
        self._on_unjudged = on_unjudged
        self._hung: _Bucket[Key] = {}
        self._loose: _Bucket[Key] = {}
        self._needy: set[Key] = set()  # triggers whose filter is to be given a Subject
        self._exact: dict[str, dict[str, _Bucket[Key]]] = {}
        # By attribute, then length, then prefix (or suffix).
        self._prefix: dict[str, dict[int, dict[str, _Bucket[Key]]]] = {}
        self._suffix: dict[str, dict[int, dict[str, _Bucket[Key]]]] = {}

    def __repr__(self) -> str:
        """Counts of triggers."""
        return f"<Matcher [{len(self._hung)} triggers | {len(self._loose)} loose]>"

    def put(self, key: Key, record: Mapping[str, Any]) -> None:
        """Add trigger *key*, or change its filter. Raises FilterInvalid; then nothing has changed."""
        predicate = compile_filter(record)
        needs_subject = take_subject(record.get("filters"))
        if needs_subject:
            predicate = self._heard(key, predicate)
        clauses = list(_clauses(record))
        self.remove(key)
        hook = min(clauses, key=self._load, default=None)
        is_whole = len(clauses) == 1 and clauses[0] == hook and _says_only(record)
        hung = _Hung(key, hook, None if is_whole else predicate)
        self._hung[key] = hung
        self._bucket(hook)[key] = hung
        if needs_subject:
            self._needy.add(key)

    def remove(self, key: Key) -> None:
        """Forget trigger *key*, if it is known."""
        hung = self._hung.pop(key, None)
        if hung is None:
            return
        self._needy.discard(key)
        bucket = self._bucket(hung.hook)
        del bucket[key]
        if hung.hook is not None and not bucket:
            self._drop(hung.hook)

    def match(self, attributes: Mapping[str, str], data: bytes | None = None) -> list[Key]:
        """Triggers that want an event of these attributes and *data*, each once, in no order."""
        attributes = visible(attributes)
        if self._needy:
            attributes = Subject(attributes, data)
        wanted: list[Key] = []
        for bucket in self._buckets(attributes):
            for hung in bucket.values():
                try:
                    if hung.predicate is None or hung.predicate(attributes):
                        wanted.append(hung.key)
                except Exception as error:  # noqa: BLE001  a mistake with one filter must not cost the others the event
                    self._on_unjudged(hung.key, f"{type(error).__name__}: {error}")
        return wanted

    def _heard(self, key: Key, predicate: Predicate) -> Predicate:
        """*predicate*, and what it says where it did not look at an event."""
        def passes(subject: Mapping[str, str]) -> bool:
            passed = predicate(subject)
            if isinstance(subject, Subject) and subject.unjudged:
                self._on_unjudged(key, subject.unjudged)
                subject.unjudged = ""
            return passed
        return passes

    def _buckets(self, attributes: Mapping[str, str]) -> Iterator[_Bucket[Key]]:
        if self._loose:
            yield self._loose
        for name, values in self._exact.items():
            bucket = values.get(attributes.get(name, ""))
            if bucket:
                yield bucket
        for name, lengths in self._prefix.items():
            value = attributes.get(name, "")
            for length, prefixes in lengths.items():
                bucket = prefixes.get(value[:length])
                if bucket:
                    yield bucket
        for name, lengths in self._suffix.items():
            value = attributes.get(name, "")
            for length, suffixes in lengths.items():
                bucket = suffixes.get(value[-length:])
                if bucket:
                    yield bucket

    def _load(self, clause: Clause) -> tuple[bool, int]:
        """How bad a hook *clause* is: the kind first, then how many triggers hang there."""
        return clause[0] != "exact", len(self._find(clause) or ())

    def _values(self, clause: Clause) -> dict[str, _Bucket[Key]]:
        kind, name, value = clause
        if kind == "exact":
            return self._exact.setdefault(name, {})
        index = self._prefix if kind == "prefix" else self._suffix
        return index.setdefault(name, {}).setdefault(len(value), {})

    def _find(self, clause: Clause) -> _Bucket[Key] | None:
        kind, name, value = clause
        if kind == "exact":
            return self._exact.get(name, {}).get(value)
        index = self._prefix if kind == "prefix" else self._suffix
        return index.get(name, {}).get(len(value), {}).get(value)

    def _bucket(self, hook: Clause | None) -> _Bucket[Key]:
        return self._loose if hook is None else self._values(hook).setdefault(hook[2], {})

    def _drop(self, hook: Clause) -> None:
        """Remove an empty bucket, and what it leaves empty above it."""
        kind, name, value = hook
        values = self._values(hook)
        del values[value]
        if values:
            return
        if kind == "exact":
            del self._exact[name]
            return
        index = self._prefix if kind == "prefix" else self._suffix
        del index[name][len(value)]
        if not index[name]:
            del index[name]


def _clauses(record: Mapping[str, Any]) -> Iterator[Clause]:
    """Clauses that the filter of *record*, which compiles, cannot do without."""
    filters = record.get("filters")
    if not filters:
        wanted = record.get("filter") or {}
        return (("exact", attribute(name), value) for name, value in wanted.items() if value)
    return _conjunction(filters)


def _conjunction(elements: list[Mapping[str, Any]]) -> Iterator[Clause]:
    for element in elements:
        for dialect, wanted in element.items():
            if dialect == "all":
                yield from _conjunction(wanted)
            elif dialect in _HOOKS:
                for name, value in wanted.items():
                    yield dialect, attribute(name), value


def _says_only(record: Mapping[str, Any]) -> bool:
    """Whether the filter of *record* has one clause and nothing else, so that its hook is the filter."""
    filters = record.get("filters")
    if not filters:
        return len(record.get("filter") or {}) == 1
    return len(filters) == 1 and next(iter(filters[0]), None) in _HOOKS
