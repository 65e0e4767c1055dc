"""
What a kind is: a record, and the register of all of them.

A kind is one file that calls `register(Kind(...))` on import; a folder of kinds imports its siblings, so a
new kind is a new file and nothing else is edited. This module must stay cheap to import: sources and
functions import kinds too, and know neither FastAPI nor Redis.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eventing.control.field import FieldError
from eventing.control.resource import Resource
from eventing.control.schema import ANY, METADATA, Shape

if TYPE_CHECKING:
    from eventing.control.context import Context


@dataclass(kw_only=True)
class Defaults:
    """What admission of one request may look at, and what it may say besides yes and no."""

    config: Callable[[str, str], Mapping[str, str]]  # (namespace, name) -> a ConfigMap's data, {} if absent
    now: float  # Unix time
    is_dry_run: bool = False
    unknown_fields: str = "Warn"  # what is done about them: Strict (refuse), Warn or Ignore, as in the API
    warnings: list[str] = field(default_factory=list)  # kubectl prints each as `Warning: ...`

    def warn(self, text: str) -> None:
        """Say *text*, once."""
        if text not in self.warnings:
            self.warnings.append(text)


Default = Callable[[Resource, Resource | None, Defaults], None]
Validate = Callable[[Resource, Resource | None, Defaults], list[FieldError]]
Reconcile = Callable[[Resource, "Context"], Awaitable[None]]
Appear = Callable[[str, str, "Context"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of `kubectl get`; NAME comes first by itself where it is not given, AGE is like any other.

    *json_path* is a path as CRDs have it (`.status.url`, `.status.conditions[?(@.type=="Ready")].status`) or
    a function of the object. *type* is string, integer, boolean or date (a timestamp, shown as an age).
    *priority* above 0 shows with `-o wide` only.
    """

    name: str
    json_path: str | Callable[[Resource], Any]
    type: str = "string"
    priority: int = 0


NAME = Column("Name", ".metadata.name")
AGE = Column("Age", ".metadata.creationTimestamp", "date")
READY_COLUMNS = (
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
)


@dataclass(frozen=True)
class View:
    """
    Whose objects a kind shows: none of it is stored, and each is made from one of kind *of* as it is read.

    *show* gets the stored object, to change or to take apart, and (namespace, name) -> a ConfigMap's data.
    What it makes has the same namespace, name and resourceVersion. *take* makes what is to be stored of an
    object as somebody wrote it, which was validated; it may warn of what gets lost. Without it the kind can
    be read, and not be written.
    """

    of: "Kind"
    show: Callable[[Resource, Callable[[str, str], Mapping[str, str]]], Resource]
    take: Callable[[Resource, Defaults], Resource] | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    One kind of resource.

    default    fills fields in, in place: (object, stored one or None, Defaults)
    validate   what is wrong with it: (object, stored one or None, Defaults) -> errors
    reconcile  level-triggered: makes the world like the object and writes `object["status"]`; raising means
               that it is asked again, later and later
    finalize   undoes what reconcile did outside of child objects; the object goes once it has returned
    fields     shapes (schema.py) of the members beside apiVersion, kind, metadata and status; None: any
    has_scale  whether `spec.replicas` is what `kubectl scale` sets
    annotations where a person may write annotations (`metadata`, `spec.template.metadata`) -> those that mean
               something there; others of these groups, and of clarion.dev, are warned of
    appear     another role reports on an object, (namespace, name), that is not there
    reports    projection table in which another role reports on objects of this kind (`Context.projected`);
               members are named ns/name, ns/name/... or Kind/ns/name, and a change reconciles that object
    view       where its objects are not stored, but shown: those of another kind, or of another version
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    columns: tuple[Column, ...] = (AGE,)
    default: Default | None = None
    validate: Validate | None = None
    reconcile: Reconcile | None = None
    appear: Appear | None = None
    finalize: Reconcile | None = None
    has_status: bool = True
    has_scale: bool = False
    fields: Mapping[str, Shape] | None = field(default=None, hash=False)
    annotations: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    reports: str | None = None
    view: View | None = None

    def __repr__(self) -> str:
        """The kind's full name."""
        return f"<Kind {self.full_name}>"

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored(self) -> "Kind":
        """The kind whose objects are stored: this one, unless it is a view."""
        return self if self.view is None else self.view.of

    @property
    def is_custom(self) -> bool:
        """Whether a CRD would define it, in a cluster; else it is one of Kubernetes' own."""
        return "." in self.group

    @property
    def is_read_only(self) -> bool:
        """Whether its objects follow from others, and cannot be written."""
        return self.view is not None and self.view.take is None

    @property
    def resource_name(self) -> str:
        """`plural.group`, as errors name it; the plural alone in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def full_name(self) -> str:
        """`Kind.group`, as `named` looks it up; the kind alone in the core group."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def shape(self) -> Shape:
        """Shape of a whole object of this kind; None where its fields are not declared."""
        if self.fields is None:
            return None
        return {"apiVersion": str, "kind": str, "metadata": METADATA, "status": ANY, **self.fields}

    @property
    def webhook(self) -> str:
        """Name under which Knative's admission refuses objects of this group."""
        home = self.group if self.group == "serving.knative.dev" else "eventing.knative.dev"
        return f"validation.webhook.{home}"

    @property
    def finalizer(self) -> str:
        """Finalizer that keeps an object until `finalize` has run."""
        return f"{self.plural}.{self.group or 'clarion.dev'}"

    def object_of(self, record_name: str) -> tuple[str, str] | None:
        """(namespace, name) of the object that a record of `reports` is about; None if of another kind."""
        first, *rest = record_name.split("/")
        if first[:1].isupper():  # Kind/ns/name: a namespace has no capitals
            return (rest[0], rest[1]) if first == self.kind and len(rest) > 1 else None
        return (first, rest[0]) if rest else None


_by_path: dict[tuple[str, str, str], Kind] = {}
_by_name: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Make *kind* known; returns it. A second one of the same group, version and plural takes its place."""
    _by_path[(kind.group, kind.version, kind.plural)] = kind
    if kind.view is None or kind.full_name != kind.stored.full_name:  # a name means what is stored
        _by_name[kind.full_name] = kind
    return kind


def lookup(group: str, version: str, plural: str) -> Kind | None:
    """The kind that a REST path names, or None."""
    return _by_path.get((group, version, plural))


def named(full_name: str) -> Kind | None:
    """The kind called `Kind.group` (`Broker.eventing.knative.dev`, `ConfigMap`), or None."""
    return _by_name.get(full_name)


def of(api_version: str, kind: str) -> Kind | None:
    """The kind that an apiVersion and a kind name, whatever the version; or None."""
    group, _, _ = api_version.rpartition("/")
    return _by_name.get(f"{kind}.{group}" if group else kind)


def every() -> Iterator[Kind]:
    """All registered kinds, by group, version and plural."""
    return (_by_path[path] for path in sorted(_by_path))
