"""
Which API server, and who we are there: a kubeconfig, or what Kubernetes gives a pod.

No message has a value of it. What a kubeconfig can say and this cannot do (`proxy-url`, `auth-provider`,
impersonation) is refused: to leave it out would reach another server, or act as somebody else.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from sources.source import NotReady

# Where Kubernetes puts a pod's credentials.
POD_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_SEVERAL = "expected a single document in the stream"  # what PyYAML says then
_UNSUPPORTED_CLUSTER = ("proxy-url",)
_UNSUPPORTED_USER = ("auth-provider", "as", "as-uid", "as-groups", "as-user-extra")


class KubeconfigInvalid(NotReady):
    """A kubeconfig that cannot be used; the message names the field."""

    def __init__(self, message: str) -> None:
        """*message* has no secret in it."""
        super().__init__("KubeconfigInvalid", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One server and one user; certificates and key are PEM."""

    server: str  # without a slash at its end
    authority: str = ""  # "": those that the system trusts
    is_verified: bool = True
    server_name: str = ""  # in the server's certificate, if it is not the host of its URL
    certificate: str = ""
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None  # read again for each connection: Kubernetes changes what is in it
    username: str = ""
    password: str = field(default="", repr=False)
    command: Mapping[str, Any] | None = field(default=None, repr=False)  # `exec`: a credential plugin


def of(text: str, context: str = "", folder: Path | None = None) -> Access:
    """
    What a kubeconfig says.

    Args:
        text: the file.
        context: which of its contexts; "" is its `current-context`.
        folder: where the file is, for the paths in it; None for one that is no file: it can have none.

    Raises:
        KubeconfigInvalid
    """
    config = _parsed(text)
    chosen = context or config.get("current-context") or ""
    if not chosen:
        raise KubeconfigInvalid("the kubeconfig has no current-context: name one of its contexts in the "
                                "annotation clarion.dev/kubeconfig-context")
    pair = _named(config, "contexts", "context", chosen)
    cluster = _named(config, "clusters", "cluster", pair.get("cluster") or "")
    user = _named(config, "users", "user", pair["user"]) if pair.get("user") else {}
    for section, names in ((cluster, _UNSUPPORTED_CLUSTER), (user, _UNSUPPORTED_USER)):
        for name in names:
            if section.get(name):
                raise KubeconfigInvalid(f"the kubeconfig's {name} is not supported")
    token_file = _path(user["tokenFile"], "tokenFile", folder) if user.get("tokenFile") else None
    return Access(
        server=_server(cluster.get("server")),
        authority=_pem(cluster, "certificate-authority", folder),
        is_verified=not cluster.get("insecure-skip-tls-verify"),
        server_name=cluster.get("tls-server-name") or "",
        certificate=_pem(user, "client-certificate", folder), key=_pem(user, "client-key", folder),
        token=user.get("token") or "", token_file=token_file,
        username=user.get("username") or "", password=user.get("password") or "", command=user.get("exec"))


def of_pod(directory: Path, environment: Mapping[str, str]) -> Access:
    """The server of the cluster that this process is a pod of; raises KubeconfigInvalid if it is none."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise KubeconfigInvalid("in-cluster: this is no pod, there is no KUBERNETES_SERVICE_HOST")
    shown = f"[{host}]" if ":" in host else host
    return Access(server=f"https://{shown}:{port}", authority=read(directory / "ca.crt", "ca.crt"),
                  token_file=directory / "token")


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:  # whose text may quote a line with a secret
        if isinstance(error, yaml.MarkedYAMLError) and error.context == _SEVERAL:
            raise KubeconfigInvalid("the kubeconfig has several YAML documents (---): keep one") from error
        raise KubeconfigInvalid("the kubeconfig is no YAML") from error
    if not isinstance(config, Mapping):
        raise KubeconfigInvalid("the kubeconfig is no YAML object")
    return config


def _named(config: Mapping[str, Any], section: str, member: str, name: str) -> Mapping[str, Any]:
    """What stands under *member* of the entry called *name*."""
    entries = config.get(section) or []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and entry.get("name") == name:
            found = entry.get(member)
            if isinstance(found, Mapping):
                return found
    raise KubeconfigInvalid(f'the kubeconfig has no {member} "{name}"')


def _server(url: Any) -> str:
    try:
        parts = urlsplit(str(url or ""))
        is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise KubeconfigInvalid("the kubeconfig's cluster has no server such as https://HOST:6443")
    return str(url).rstrip("/")


def _pem(section: Mapping[str, Any], name: str, folder: Path | None) -> str:
    """A PEM that stands in the file itself (`NAME-data`), or in one that it names."""
    encoded, path = section.get(f"{name}-data"), section.get(name)
    if encoded:
        try:
            return base64.b64decode(str(encoded), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise KubeconfigInvalid(f"the kubeconfig's {name}-data is no PEM in base64") from error
    return read(_path(path, name, folder), name) if path else ""


def _path(path: Any, name: str, folder: Path | None) -> Path:
    if folder is None:
        raise KubeconfigInvalid(f"the kubeconfig's {name} is a path, which means nothing in a Secret: "
                                "`kubectl config view --flatten --minify --raw` writes one without")
    return folder / str(path)


def read(path: Path, name: str) -> str:
    """Text of a file that is called *name* in a message. Raises KubeconfigInvalid."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KubeconfigInvalid(f"{name} {path} cannot be read: {why}") from error
