"""
Every key in Redis, on one page: type, members, unit, who writes it, when it dies.

Keys of one partition carry the hash tag `{namespace/broker/partition}`, so that all of them are on one
slot of a Redis Cluster and one server-side function may touch them together.

| key | type | members | written by | dies |
|---|---|---|---|---|
| `clarion:table:T` | hash | name -> JSON, one projection (eventing/projection.py) | its one owner | with its owner's objects |
| `clarion:tables` | pub/sub channel | `T name` after every change of a table | the writer of the table | never stored |
| `clarion:bundle:H` | string | tar.gz whose SHA-256 is H (hex): a function's code | control API | never: revisions name it by digest |
| `{clarion:objects}` | hash | resource/ns/name -> `version JSON`, one resource of the control plane; the JSON is compressed (zlib) | control | deletion |
| `{clarion:objects}:version` | string | the last resourceVersion; +1 with every change of any object | control | never |
| `{clarion:objects}:log` | stream | id `version-0`; `t` ADDED, MODIFIED or DELETED, `f` field in the hash, \
`o` the object's JSON, compressed, `l` JSON of the labels before if they changed | control | 4,096 changes later |
| `clarion:control:lease` | string | `host pid token` of the process that reconciles | control | 6 s after its last renewal |
| `clarion:source:UID` | string | where the source UID stopped, if its server does not keep that: sources/places.py | sources role | with its object, or 400 days after it was last written |
| `{clarion:source:UID}:pages` | hash | page -> place: what the source UID must know of its server's objects, sources/ledger.py | sources role | with its object, or 30 days after it was last written |
| `{clarion:source:UID}:ledger` | hash | `page uid` -> JSON, an outline of the object with that uid | sources role | likewise |
| `clarion:dispatchers` | sorted set | name of a living dispatcher, scored by the Unix ms until which that holds | dispatcher | 2 s after its dispatcher |
| `{clarion:turns:UID}:had` | sorted set | `p/epoch`: a partition that may send to the trigger UID, scored by the Unix ms until which that holds | dispatcher | 3 s after it was last kept |
| `{clarion:turns:UID}:waiting`, `:seen` | sorted set | the same of those that wait, scored by the Unix ms since when, and until when they are believed | dispatcher | likewise |
| `{ns/broker/p}:events` | stream | one entry an event: `a` attributes JSON, `d` data | append | retention |
| `{ns/broker/p}:spared` | hash | id -> fields of an entry (MessagePack) that a trigger waits for, and that `events` \
need not keep any more | retention | within a minute after nobody waits for it |
| `{ns/broker/p}:held` | stream | entries like those of `events`, not due yet | append | moved to `events` when due |
| `{ns/broker/p}:due` | sorted set | id in `held`, scored by the Unix ms at which it is due | append | likewise |
| `{ns/broker/p}:seen` | sorted set | digest of source and id, scored by the Unix ms until which a repeat is known; \
500,000 at most | append | the broker's dedup window later |
| `{ns/broker/p}:lease` | string | name of the dispatcher that owns the partition | owner | 3 s after the last renewal |
| `{ns/broker/p}:epoch` | string | number of the present ownership: who writes with another is refused | acquire | with the broker |
| `{ns/broker/p}:state` | hash | `floor`: id, everything at or below it is settled or held below; `commit`: `epoch/number` of the last one; \
`spared`: PLACE, all that waits at or below it is in `spared`; `drawn`: `epoch/number UID ..`, the last draw that moved \
retries, and to whom | commit, retention, draw | with the broker |
| `{ns/broker/p}:resolved` | set | `id uid`: event and trigger, settled or held below, where the floor has not passed | commit | passed by the floor |
| `{ns/broker/p}:lanes` | set | uid of every trigger that has a backlog, retries or dead letters | commit | with the last of them |
| `{ns/broker/p}:backlog:UID` | sorted set | REF and attempt (`REF n`): to be sent now; `REF n MS` of an ordered trigger: not before that Unix ms; scored by PLACE | commit, draw | settled, or with its trigger |
| `{ns/broker/p}:retries` | sorted set | `UID n REF`, scored by the Unix ms at which attempt n is due | commit, redrive | due, or with its trigger |
| `{ns/broker/p}:waiting:UID` | sorted set | `n REF` of each of them, scored by PLACE: how many there are, and the oldest, which retention needs | commit, redrive | likewise |
| `{ns/broker/p}:hand` | hash | what its owner has in hand: UID -> `N WHEN PARKED ASKED`, events being sent, the Unix time of the oldest, how many of them are in the backlog, and when the oldest request was begun; `cursor` -> id of the last entry read | owner | 5 s after it was told, every second while there is something |
| `{ns/broker/p}:failures` | hash | UID -> JSON: the last attempt that failed, replies that were dropped \
(eventing/broker/failures.py) | owner, within a second | with its trigger |
| `{ns/broker/p}:dead:UID` | stream | dead letters of a trigger: eventing/broker/deadletters.py has the fields | commit | sent to the sink, redriven, purged, or with its trigger |
| `{ns/broker/p}:records` | stream | `r`: JSON rows, one an attempt: eventing/broker/page.py has the columns | commit | about 8192 entries later |

A REF says what is to be sent: `ID`, that entry to the subscriber; `dID`, that dead letter to the dead letter sink;
`rID`, that dead letter to the subscriber again. Its PLACE orders it: milliseconds * 2048 + sequence of the id, which a
double holds exactly until 2109; a dead letter's is that minus 2^53, hence below 0, so it goes first and retention
does not count it.

Tables (T), their member names, and their one writer:

| T | member | value | writer |
|---|---|---|---|
| `brokers` | ns/name | {"uid", "partitions", "partitions_since": [[number, since which Unix ms], ..] once some were added, \
"delivery": DELIVERY or null, "dedup_window_s": float (0: off), \
"retention_s": float or null, "retention_bytes": int (of all partitions) or null} | kinds/broker |
| `triggers` | ns/name | {"uid", "generation", "broker": "ns/name", "filter": {attribute: value}, "filters": [..], \
"subscriber": URL, "delivery": DELIVERY, "annotations": {..}} | kinds/trigger |
| `lanes` | ns/trigger/p | {"uid", "generation"}: the owner of partition p now matches that generation; "given_up": \
{"when": Unix time, "attempts", "reason"} of a dead letter, told once a minute | dispatcher |
| `revisions` | ns/name | see serving/objects/revision.py | serving/objects/revision |
| `volumes` | uid of a Revision, or of a Deployment's pods | the files of its volumes, serving/objects/mounting.py | its own kind |
| `routes` | host | {"service", "targets": [{"revision": "ns/name", "percent", "tag"}]}; "why": there are none yet, for people; "visibility": \
"cluster-local" if the data port does not serve it; "tags": {tag: targets} where a header may choose the tag; \
or {"service", "alias": host}: a domain that stands for that host | serving/objects/route, serving/objects/domainmapping |
| `scales` | ns/revision | see serving/objects/revision.py | serving role |
| `deployments` | ns/name | see serving/objects/program.py | serving/objects/deployment |
| `deployment-states` | ns/name | see serving/objects/deployment.py | serving role |
| `sources` | Kind/ns/name | {"uid", "generation", "spec", "source": CloudEvents' source, "sink": URL, "extensions": {..}, \
"delivery": DELIVERY or null, "secret_versions": [resourceVersion of each]} and what its kind adds | sources/* kinds |
| `sources` | KafkaSink/ns/name | {"uid", "generation", "spec", "secret_versions"}: what the sources role runs the other way round; its \
secrets and state are where those of sources are | sources/kafka/sink |
| `source-secrets` | Kind/ns/name | {name: text}: the secrets that a source refers to, in a table of their own so that no \
listing of sources shows them | sources/* kinds |
| `source-states` | Kind/ns/name | {"uid", "generation", "ready", "reason", "message"} and perhaps "status": {..}, fields of the object's, \
and "sink": why that takes no events | sources role |
| `configs` | ns/name | data of a ConfigMap | control/core |
| `event-types` | ns/EventType | {"type", "source", "schema", "kind", "name"}: seen at that Broker or Trigger; the \
control plane takes it away again | ingress, dispatcher |

DELIVERY = {"retry": int, "backoff_policy": "linear"|"exponential", "backoff_s": float, "timeout_s": float|null,
"dead_letter_url": URL|null, "format": "binary"|"json"|null} and "retry_after_max_s": float where a subscriber's
Retry-After is heard: the precedence of Trigger over Broker (Knative) is settled by the reconciler, so the data plane reads one record.
"""

import functools

TABLES_CHANNEL = "clarion:tables"
DISPATCHERS = "clarion:dispatchers"

# The resources of the control plane share a hash tag: one script changes all three.
OBJECTS = "{clarion:objects}"
OBJECT_VERSION = "{clarion:objects}:version"
OBJECT_LOG = "{clarion:objects}:log"
CONTROL_LEASE = "clarion:control:lease"

_KNOWN_PARTITIONS = 1024  # whose names need not be made anew for each event


def table(name: str) -> str:
    """Hash that holds projection *name*."""
    return f"clarion:table:{name}"


def bundle(digest: str) -> str:
    """String that holds the bundle whose SHA-256, in hex, is *digest*."""
    return f"clarion:bundle:{digest}"


def partition_tag(broker: str, partition: int) -> str:
    """Hash tag shared by all keys of one partition of *broker* (`namespace/name`)."""
    return f"{{{broker}/{partition}}}"


@functools.lru_cache(_KNOWN_PARTITIONS)
def events(broker: str, partition: int) -> str:
    """Stream of the events of one partition; it is the archive too."""
    return f"{partition_tag(broker, partition)}:events"


def turns(uid: str) -> str:
    """Hash tag of the turns that partitions take at the trigger *uid*."""
    return f"{{clarion:turns:{uid}}}"


def source_place(uid: str) -> str:
    """String that says where the source *uid* stopped."""
    return f"clarion:source:{uid}"


def source_pages(uid: str) -> str:
    """Hash of the places of the pages in the ledger of the source *uid*."""
    return f"{{clarion:source:{uid}}}:pages"


def source_ledger(uid: str) -> str:
    """Hash of the entries in the ledger of the source *uid*."""
    return f"{{clarion:source:{uid}}}:ledger"


def object_field(resource_name: str, namespace: str, name: str) -> str:
    """Field of one resource in `OBJECTS`; none of the three contains a slash."""
    return f"{resource_name}/{namespace}/{name}"


def object_parts(field: str) -> tuple[str, str, str]:
    """(plural.group, namespace, name) of a field in `OBJECTS`."""
    resource_name, namespace, name = field.split("/")
    return resource_name, namespace, name


def dead(broker: str, partition: int, uid: str) -> str:
    """Stream of the dead letters of the trigger *uid* in one partition."""
    return f"{partition_tag(broker, partition)}:dead:{uid}"


def failures(broker: str, partition: int) -> str:
    """Hash of what fails in one partition."""
    return f"{partition_tag(broker, partition)}:failures"


def records(broker: str, partition: int) -> str:
    """Stream of the delivery records of one partition."""
    return f"{partition_tag(broker, partition)}:records"
