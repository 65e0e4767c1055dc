"""
Every key in Redis, on one page: type, members, unit, who writes it, when it dies.

Keys of one partition carry the hash tag `{namespace/broker/partition}`, so that all of them are on one
slot of a Redis Cluster and one server-side function may touch them together.

| key | type | members | written by | dies |
|---|---|---|---|---|
| `clarion:table:T` | hash | name -> JSON, one projection (eventing/projection.py) | its one owner | with its owner's objects |
| `clarion:tables` | pub/sub channel | `T name` after every change of a table | the writer of the table | never stored |
| `clarion:bundle:H` | string | tar.gz whose SHA-256 is H (hex): a function's code | control API | never: revisions name it by digest |
| `{clarion:objects}` | hash | resource/ns/name -> `version JSON`, one resource of the control plane | control | deletion |
| `{clarion:objects}:version` | string | the last resourceVersion; +1 with every change of any object | control | never |
| `{clarion:objects}:log` | stream | id `version-0`; `t` ADDED, MODIFIED or DELETED, `f` field in the hash, \
`o` the object's JSON, `l` JSON of the labels before if they changed | control | 4,096 changes later |
| `clarion:control:lease` | string | `host pid token` of the process that reconciles | control | 6 s after its last renewal |
| `{ns/broker/p}:events` | stream | one entry an event: `a` attributes JSON, `d` data | append | retention |

Tables (T), their member names, and their one writer:

| T | member | value | writer |
|---|---|---|---|
| `brokers` | ns/name | {"uid", "partitions", "delivery": DELIVERY or null} | kinds/broker |
| `triggers` | ns/name | {"uid", "generation", "broker": "ns/name", "filter": {attribute: value}, "filters": [..], \
"subscriber": URL, "delivery": DELIVERY, "annotations": {..}} | kinds/trigger |
| `lanes` | ns/trigger/p | {"uid", "generation"}: the owner of partition p now matches that generation | dispatcher |
| `revisions` | ns/name | see serving/revision.py | serving/revision |
| `routes` | host | {"service", "targets": [{"revision": "ns/name", "percent", "tag"}]} | serving/route |
| `scales` | ns/revision | see serving/revision.py | serving role |
| `sources` | Kind/ns/name | {"uid", "generation", "spec", "source": CloudEvents' source, "sink": URL, "extensions": {..}} | sources/* kinds |
| `source-states` | Kind/ns/name | {"uid", "generation", "ready", "reason", "message"} | sources role |
| `configs` | ns/name | data of a ConfigMap | kinds/configmap |

DELIVERY = {"retry": int, "backoff_policy": "linear"|"exponential", "backoff_s": float, "timeout_s": float|null,
"dead_letter_url": URL|null, "format": "binary"|"json"|null}: the precedence of Trigger over Broker
(Knative) is settled by the reconciler, so the data plane reads one record.
"""

TABLES_CHANNEL = "clarion:tables"

# The resources of the control plane share a hash tag: one script changes all three.
OBJECTS = "{clarion:objects}"
OBJECT_VERSION = "{clarion:objects}:version"
OBJECT_LOG = "{clarion:objects}:log"
CONTROL_LEASE = "clarion:control:lease"


def table(name: str) -> str:
    """Hash that holds projection *name*."""
    return f"clarion:table:{name}"


def bundle(digest: str) -> str:
    """String that holds the bundle whose SHA-256, in hex, is *digest*."""
    return f"clarion:bundle:{digest}"


def partition_tag(broker: str, partition: int) -> str:
    """Hash tag shared by all keys of one partition of *broker* (`namespace/name`)."""
    return f"{{{broker}/{partition}}}"


def events(broker: str, partition: int) -> str:
    """Stream of the events of one partition; it is the archive too."""
    return f"{partition_tag(broker, partition)}:events"


def object_field(resource_name: str, namespace: str, name: str) -> str:
    """Field of one resource in `OBJECTS`; none of the three contains a slash."""
    return f"{resource_name}/{namespace}/{name}"


def object_parts(field: str) -> tuple[str, str, str]:
    """(plural.group, namespace, name) of a field in `OBJECTS`."""
    resource_name, namespace, name = field.split("/")
    return resource_name, namespace, name
