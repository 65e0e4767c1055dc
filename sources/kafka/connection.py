"""
How to connect to a Kafka cluster: a KafkaSource's `net` and its secrets -> arguments of aiokafka's clients.

    net.sasl.enable   net.tls.enable   protocol
    false             false            PLAINTEXT
    true              false            SASL_PLAINTEXT
    false             true             SSL
    true              true             SASL_SSL

TLS checks the server's certificate and name against `caCert`, else against the system's authorities. This
module never prints what is secret, and what it raises names the field only.
"""

import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sources.source import NotReady

_PROTOCOLS = {(False, False): "PLAINTEXT", (True, False): "SASL_PLAINTEXT", (False, True): "SSL",
              (True, True): "SASL_SSL"}

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

# The secrets of a KafkaSource: names used here -> where in `spec.net` the secretKeyRef stands.
SECRETS = {
    "user": ("sasl", "user"), "password": ("sasl", "password"), "type": ("sasl", "type"),
    "cert": ("tls", "cert"), "key": ("tls", "key"), "caCert": ("tls", "caCert"),
}


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
    Keyword arguments for a client of aiokafka.

    Raises:
        NotReady: something is missing or cannot be read; the message names the field.
    """
    net = spec.get("net") or {}
    has_sasl = bool((net.get("sasl") or {}).get("enable"))
    has_tls = bool((net.get("tls") or {}).get("enable"))
    found: dict[str, Any] = {
        "bootstrap_servers": list(spec["bootstrapServers"]),
        "security_protocol": _PROTOCOLS[has_sasl, has_tls],
    }
    if has_sasl:
        found |= _sasl(secrets)
    if has_tls:
        found["ssl_context"] = _tls(secrets)
    return found


def _sasl(secrets: Mapping[str, str]) -> dict[str, str]:
    mechanism = secrets.get("type") or MECHANISMS[0]
    if mechanism not in MECHANISMS:
        raise NotReady("SASLMechanismUnsupported",
                       f"spec.net.sasl.type: the secret names none of {', '.join(MECHANISMS)}")
    for name in ("user", "password"):
        if not secrets.get(name):
            raise NotReady("SecretNotFound", f"spec.net.sasl.{name}: no secretKeyRef, or it is empty")
    return {"sasl_mechanism": mechanism, "sasl_plain_username": secrets["user"],
            "sasl_plain_password": secrets["password"]}


def _tls(secrets: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=secrets.get("caCert") or None)
    except ssl.SSLError as error:
        raise NotReady("CertificateInvalid", f"spec.net.tls.caCert: {error.reason}") from error
    if secrets.get("cert"):
        _load_pair(context, secrets["cert"], secrets.get("key") or "")
    return context


def _load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Python reads these from files only; the directory is ours alone (0700) and gone at once."""
    with tempfile.TemporaryDirectory(prefix="clarion-tls-") as directory:
        path = Path(directory) / "pair.pem"
        path.write_text(f"{key.strip()}\n{certificate.strip()}\n")
        try:
            # A key under a passphrase is an error, not a question on the terminal.
            context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or "it cannot be read"
            raise NotReady("CertificateInvalid", f"spec.net.tls.cert, spec.net.tls.key: {why}") from error
