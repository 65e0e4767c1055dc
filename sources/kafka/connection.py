"""
How to connect to a Kafka cluster: what a KafkaSource or a KafkaSink says -> arguments of aiokafka's clients.

    KafkaSource: spec.net                key of a KafkaSink's Secret
    sasl.enable   tls.enable             protocol
    false         false                  PLAINTEXT, or no Secret at all
    true          false                  SASL_PLAINTEXT
    false         true                   SSL
    true          true                   SASL_SSL
    sasl.type                            sasl.mechanism
    sasl.user, sasl.password             user, password
    tls.caCert, tls.cert, tls.key        ca.crt, user.crt, user.key
                                         user.skip: "true" to have no certificate of one's own

TLS checks the server's certificate and name against `caCert`, else against the system's authorities. This
module never prints what is secret, and what it raises names the field only.
"""

import re
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eventing.control import field
from eventing.control.field import FieldError
from sources.source import NotReady

_PROTOCOLS = {(False, False): "PLAINTEXT", (True, False): "SASL_PLAINTEXT", (False, True): "SSL",
              (True, True): "SASL_SSL"}

_SERVER = re.compile(r"(?:\[[^\[\]\s]+\]|[^\[\]\s:/,@]+):(\d{1,5})", re.ASCII)
_PORTS = range(1, 2**16)

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

# The secrets of a KafkaSource: names used here -> where in `spec.net` the secretKeyRef stands.
SECRETS = {
    "user": ("sasl", "user"), "password": ("sasl", "password"), "type": ("sasl", "type"),
    "cert": ("tls", "cert"), "key": ("tls", "key"), "caCert": ("tls", "caCert"),
}

# Keys of a KafkaSink's Secret, and the names used here.
PROTOCOL = "protocol"
_SKIP = "user.skip"
_NAMES = {"sasl.mechanism": "type", "user": "user", "password": "password", "ca.crt": "caCert",
          "user.crt": "cert", "user.key": "key"}
SECRET_KEYS = (PROTOCOL, *_NAMES, _SKIP)


def validate_texts(given: Any, name: str) -> list[FieldError]:
    """What is wrong with *given*, a list of texts that stands in the spec under *name*."""
    if not isinstance(given, list):
        return [field.invalid_value(given, name)]
    return [field.invalid_value(each, f"{name}[{index}]") for index, each in enumerate(given)
            if not isinstance(each, str) or not each.strip()]


def secret_refs(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The secretKeyRefs of a KafkaSource's spec that are in use."""
    net, refs = spec.get("net") or {}, {}
    for name, (part, member) in SECRETS.items():
        section = net.get(part) or {}
        ref = (section.get(member) or {}).get("secretKeyRef")
        if section.get("enable") and ref:
            refs[name] = ref
    return refs


def arguments(spec: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """
    Keyword arguments for a client of aiokafka, from the spec of a KafkaSource.

    Raises:
        NotReady: something is missing or cannot be read; the message names the field.
    """
    net = spec.get("net") or {}
    has_sasl, has_tls = (bool((net.get(part) or {}).get("enable")) for part in ("sasl", "tls"))
    fields = {name: f"spec.net.{part}.{member}" for name, (part, member) in SECRETS.items()}
    return _arguments(spec["bootstrapServers"], _PROTOCOLS[has_sasl, has_tls], secrets, fields)


def of_secret(servers: Sequence[str], secret: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments for a client of aiokafka, from a KafkaSink's Secret; raises NotReady."""
    protocol = secret.get(PROTOCOL, "PLAINTEXT")
    if protocol not in _PROTOCOLS.values():
        allowed = ", ".join(_PROTOCOLS.values())
        raise NotReady("SecretInvalid", f"key {PROTOCOL} of the Secret is none of {allowed}")
    values = {name: secret[key] for key, name in _NAMES.items() if key in secret}
    if secret.get(_SKIP) == "true":
        values.pop("cert", None)
    fields = {name: f"key {key} of the Secret" for key, name in _NAMES.items()}
    return _arguments(servers, protocol, values, fields)


def _arguments(servers: Sequence[str], protocol: str, secrets: Mapping[str, str],
               fields: Mapping[str, str]) -> dict[str, Any]:
    """*fields* says what a person calls each of *secrets*."""
    found: dict[str, Any] = {"bootstrap_servers": _addresses(servers), "security_protocol": protocol}
    if protocol.startswith("SASL"):
        found |= _sasl(secrets, fields)
    if protocol.endswith("SSL"):
        found["ssl_context"] = _tls(secrets, fields)
    return found


def _addresses(servers: Sequence[str]) -> list[str]:
    """*servers* without spaces around them; Knative, too, takes any text and connects only to HOST:PORT."""
    for index, server in enumerate(servers):
        parts = _SERVER.fullmatch(server.strip())
        if parts is None or int(parts[1]) not in _PORTS:
            raise NotReady("BootstrapServerInvalid",
                           f"spec.bootstrapServers[{index}]: HOST:PORT expected, not '{server}'")
    return [server.strip() for server in servers]


def _sasl(secrets: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, str]:
    mechanism = secrets.get("type") or MECHANISMS[0]
    if mechanism not in MECHANISMS:
        raise NotReady("SASLMechanismUnsupported",
                       f"{fields['type']}: the secret names none of {', '.join(MECHANISMS)}")
    for name in ("user", "password"):
        if not secrets.get(name):
            raise NotReady("SecretNotFound", f"{fields[name]}: there is none, or it is empty")
    return {"sasl_mechanism": mechanism, "sasl_plain_username": secrets["user"],
            "sasl_plain_password": secrets["password"]}


def _tls(secrets: Mapping[str, str], fields: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=secrets.get("caCert") or None)
    except (ssl.SSLError, TypeError) as error:  # TypeError: it is not even ASCII
        raise NotReady("CertificateInvalid",
                       f"{fields['caCert']}: is no PEM certificate (-----BEGIN CERTIFICATE-----)") from error
    if secrets.get("cert"):
        _load_pair(context, secrets["cert"], secrets.get("key") or "", f"{fields['cert']}, {fields['key']}")
    return context


def _load_pair(context: ssl.SSLContext, certificate: str, key: str, names: str) -> None:
    """Python reads these from files only; the directory is ours alone (0700) and gone at once."""
    with tempfile.TemporaryDirectory(prefix="clarion-tls-") as directory:
        path = Path(directory) / "pair.pem"
        path.write_text(f"{key.strip()}\n{certificate.strip()}\n")
        try:
            # A key under a passphrase is an error, not a question on the terminal.
            context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or "it cannot be read"
            raise NotReady("CertificateInvalid", f"{names}: {why}") from error
