"""
A client of the control API for commands: synchronous, small, on the standard library.

It knows the API as kubectl does: kinds by discovery, objects by paths, errors as metav1.Status whose message
a person may read. It knows no kind's fields. A command that uses it starts in the time that Python takes.
"""

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from eventing import absent
from eventing.errors import ClarionError, UsageError

Resource = dict[str, Any]

# A command is answered in milliseconds, a bundle within seconds; a feed may be silent for long.
_TIMEOUT_S = 30.0
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_MERGE = "application/merge-patch+json"
_WARNING = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')  # RFC 7234, 5.5: code, agent, text
# A name that several groups use (services, events) means these groups' kind.
_PREFERRED_GROUPS = ("eventing.knative.dev", "serving.knative.dev", "sources.knative.dev", "")


class Refused(ClarionError):
    """The API said no; the message is the API's, `status` its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class KindName:
    """What discovery says of one kind."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    is_namespaced: bool
    has_status: bool

    @property
    def full(self) -> str:
        """`plural.group`, as kubectl names it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def names(self) -> set[str]:
        """Everything a person may call it."""
        short = {self.plural, self.singular, self.kind.lower(), *self.short_names}
        longer = (self.group, f"{self.version}.{self.group}") if self.group else ()
        return short | {f"{name}.{end}" for name in short for end in longer}

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Path of one object, of a namespace's (None: of all) collection; UsageError: it cannot be a name."""
        for part in (namespace or "", name or ""):
            if part in {".", ".."} or "/" in part or "%" in part:
                raise UsageError(f'invalid resource name "{part}": it may not be . or .., nor contain / or %')
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        home = f"/namespaces/{quote(namespace)}" if self.is_namespaced and namespace else ""
        return f"{root}{home}/{self.plural}" + (f"/{quote(name)}" if name else "")


class Client:
    """One connection to one API server; a context manager."""

    def __init__(self, server: str) -> None:
        """*server* is a URL; nothing is connected yet."""
        self.server = server
        self._connection = connect(server, _TIMEOUT_S)
        self._kinds: list[KindName] | None = None
        self.warnings: list[str] = []  # what answers warned of; whoever tells them empties it

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._connection.close()

    def __repr__(self) -> str:
        """Where it leads."""
        return f"<Client {self.server}>"

    def request(self, method: str, path: str, body: bytes | None = None,
                headers: Mapping[str, str] | None = None) -> bytes:
        """
        The body of a good answer.

        Raises:
            Refused: the answer was none, with the server's message.
            ClarionError: nobody answers.
        """
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise unreachable(self.server, error) from error
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise Refused(answer.status, _message(content) or f"{self.server} answered {answer.status}")
        for header in answer.headers.get_all("warning", ()):
            texts = _WARNING.findall(header.encode("latin-1", "replace").decode(errors="replace"))
            self.warnings += [re.sub(r"\\(.)", r"\1", text) for text in texts]
        return content

    def get(self, path: str, accept: str = "application/json") -> Resource:
        """The object or list at *path*."""
        found: Resource = json.loads(self.request("GET", path, headers={"accept": accept}))
        return found

    def table(self, path: str) -> Resource:
        """The same as a v1 Table, the columns chosen by the server."""
        return self.get(f"{path}{'&' if '?' in path else '?'}includeObject=Metadata", _TABLE)

    def find(self, path: str) -> Resource | None:
        """The object at *path*, None if there is none."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def create(self, path: str, wish: Resource) -> Resource:
        """Store a new object in the collection at *path*."""
        return self._send("POST", path, wish, "application/json")

    def replace(self, path: str, wish: Resource) -> Resource:
        """Put *wish* in the place of the object at *path*."""
        return self._send("PUT", path, wish, "application/json")

    def patch(self, path: str, patch: Resource) -> Resource:
        """Merge *patch* (RFC 7386) into the object at *path*."""
        return self._send("PATCH", path, patch, _MERGE)

    def delete(self, path: str) -> None:
        """Delete the object at *path*."""
        self.request("DELETE", path)

    def upload(self, path: str, content: bytes) -> None:
        """PUT bytes."""
        self.request("PUT", path, content, {"content-type": "application/gzip"})

    def _send(self, method: str, path: str, content: Resource, content_type: str) -> Resource:
        answer = self.request(method, path, json.dumps(content).encode(), {"content-type": content_type})
        stored: Resource = json.loads(answer)
        return stored

    def watch(self, path: str, resource_version: str) -> Iterator[Resource]:
        """Watch events of the collection at *path* as tables, from *resource_version* on; as `endless`."""
        query = urlencode({"watch": "true", "resourceVersion": resource_version, "includeObject": "Metadata"})
        joint = "&" if "?" in path else "?"
        for line in endless(self.server, f"{path}{joint}{query}", {"accept": _TABLE}):
            event: Resource = json.loads(line)
            if event.get("type") == "ERROR":
                status = event["object"]
                raise Refused(status.get("code", 500), status.get("message", "the watch ended"))
            yield event

    def kinds(self) -> list[KindName]:
        """Every kind that the server has; asked once."""
        if self._kinds is None:
            answers = [self.get(path, _AGGREGATED) for path in ("/api", "/apis")]
            groups = [group for answer in answers for group in answer["items"]]
            self._kinds = [_kind_name(group["metadata"].get("name", ""), version["version"], entry)
                           for group in groups for version in group["versions"]
                           for entry in version["resources"]]
        return self._kinds

    def kinds_named(self, names: str) -> list[KindName]:
        """The kinds that a comma list of names, short names or categories means; UsageError: none of it."""
        found: dict[KindName, None] = {}
        for name in filter(None, (part.strip().lower() for part in names.split(","))):
            kinds = [kind for kind in self.kinds() if name in kind.names]
            every = {kind.full: kind for kind in reversed(self.kinds())}  # of several versions the first
            kinds = sorted(kinds, key=_preference)[:1] or [k for k in self.kinds()
                                                           if name in k.categories and every[k.full] is k]
            if not kinds:
                known = ", ".join(sorted({kind.plural for kind in self.kinds()}))
                raise UsageError(f"the server has no kind {name!r}; it has {known}")
            found.update(dict.fromkeys(kinds))
        return list(found)

    def path_of(self, wish: Resource, namespace: str) -> str:
        """Path of the object that *wish* describes, in *namespace* if it names none; UsageError: unknown."""
        metadata = wish["metadata"]
        return self.kind_of(wish).path(metadata.get("namespace") or namespace, metadata["name"])

    def kind_of(self, wish: Resource) -> KindName:
        """The kind that *wish* names; UsageError where the server has none such."""
        group, _, version = wish["apiVersion"].rpartition("/")
        for kind in self.kinds():
            if (kind.group, kind.version, kind.kind) == (group, version, wish["kind"]):
                return kind
        served = [f"{kind.group}/{kind.version}".lstrip("/") for kind in self.kinds()
                  if (kind.group, kind.kind) == (group, wish["kind"])]
        hint = (f"write apiVersion: {served[0]}" if served else absent.instead(group, wish["kind"])
                or "clarion get --help says how to list what there is")
        raise UsageError(f'no matches for kind "{wish["kind"]}" in version "{wish["apiVersion"]}"; {hint}')


def _kind_name(group: str, version: str, entry: Resource) -> KindName:
    return KindName(group, version, entry["responseKind"]["kind"], entry["resource"],
                    entry["singularResource"], tuple(entry.get("shortNames") or ()),
                    tuple(entry.get("categories") or ()), entry["scope"] == "Namespaced",
                    any(part["subresource"] == "status" for part in entry.get("subresources") or ()))


def _preference(kind: KindName) -> int:
    groups = _PREFERRED_GROUPS
    return groups.index(kind.group) if kind.group in groups else len(groups)


def connect(url: str, timeout_s: float | None) -> http.client.HTTPConnection:
    """A connection to the host that *url* names, not made yet."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    host = parts.hostname or "localhost"
    if host == "localhost" or host.endswith(".localhost"):
        host = "127.0.0.1"  # RFC 6761 reserves these names for it, but not every resolver knows
    return kind(host, parts.port, timeout=timeout_s)


def lines(server: str, path: str, headers: Mapping[str, str] | None = None, *,
          silence_s: float | None = None) -> Iterator[bytes]:
    """Lines of a feed, until the server ends it; raises as `Client.request` does, also after *silence_s*."""
    connection = connect(server, timeout_s=silence_s)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise Refused(answer.status, _message(answer.read()))
        while line := answer.readline():
            yield line
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(server, error) from error
    finally:
        connection.close()


def endless(server: str, path: str, headers: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """`lines` that are to go on until their reader has enough; ClarionError where the server ends them."""
    yield from lines(server, path, headers)
    raise ClarionError(f"{server} has ended what it showed, as when it is stopped; run the command again")


def _message(content: bytes) -> str:
    """What a person may read of a refusal: the message of a metav1.Status, or the text."""
    text = content.decode(errors="replace").strip()
    try:
        status = json.loads(text)
    except ValueError:
        return text
    return str(status.get("message") or text) if isinstance(status, dict) else text


def unreachable(url: str, error: Exception) -> ClarionError:
    """One line for a server that does not answer, with the next step."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ClarionError(f"cannot reach {url}: {reason}; is `clarion up` running? --server names another one")
