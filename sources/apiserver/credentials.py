"""
What a connection to an API server needs: its TLS context, and the header that says who we are.

A credential plugin (`exec`, client.authentication.k8s.io) is run when it is needed first, and again when
what it gave has expired or was not taken. It is a program of this machine, run with the rights of the sources
role.
"""

import asyncio
import base64
import contextlib
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from eventing.control.resource import unix
from eventing.http.wire import Header
from sources.apiserver.kubeconfig import Access, KubeconfigInvalid
from sources.source import NotReady

_PLUGIN_S = 30.0
_EARLY_S = 10.0  # a token is not used so shortly before its end


class Credentials:
    """Those of one Access."""

    def __init__(self, access: Access) -> None:
        """Nothing is loaded yet."""
        self._access = access
        self._given: Mapping[str, Any] = {}  # `status` of the plugin's ExecCredential
        self._given_until = 0.0  # Unix time
        self._context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        """Whose."""
        return f"<Credentials of {self._access.server}>"

    async def load(self) -> None:
        """Have what is needed at hand. Raises NotReady."""
        if self._access.command and time.time() >= self._given_until:
            self._given = await _asked(self._access.command)
            expires = self._given.get("expirationTimestamp")
            self._given_until = unix(expires) - _EARLY_S if expires else float("inf")
            self._context = None
        if self._context is None and self._access.server.startswith("https:"):
            self._context = self._made()

    def expire(self) -> None:
        """The server did not take them: ask the plugin again next time."""
        self._given_until = 0.0

    @property
    def context(self) -> ssl.SSLContext | None:
        """Of TLS; None for a server without."""
        return self._context

    def headers(self) -> list[Header]:
        """`authorization`, if there is any. Raises KubeconfigInvalid when a token's file cannot be read."""
        access = self._access
        token = self._given.get("token") or access.token
        if access.token_file is not None and not token:
            try:
                token = access.token_file.read_text().strip()
            except OSError as error:
                raise KubeconfigInvalid(f"token file {access.token_file} cannot be read: "
                                        f"{error.strerror}") from error
        if token:
            return [(b"authorization", f"Bearer {token}".encode())]
        if access.username:
            pair = base64.b64encode(f"{access.username}:{access.password}".encode())
            return [(b"authorization", b"Basic " + pair)]
        return []

    def _made(self) -> ssl.SSLContext:
        access = self._access
        try:
            context = ssl.create_default_context(cadata=access.authority or None)
            # Python 3.13 asks of certificates what those of many clusters do not have.
            context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
            if not access.is_verified:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            certificate = self._given.get("clientCertificateData") or access.certificate
            key = self._given.get("clientKeyData") or access.key
            if certificate:
                _load(context, certificate, key)
        except (ssl.SSLError, ValueError) as error:
            raise KubeconfigInvalid("a certificate or key of the kubeconfig cannot be used: "
                                    f"{getattr(error, 'reason', None) or 'it is no PEM'}") from error
        return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Python's ssl reads its own certificate from files only: they live for a moment, for us alone."""
    with contextlib.ExitStack() as files:
        paths = []
        for text in (certificate, key or certificate):
            file = files.enter_context(tempfile.NamedTemporaryFile("w", prefix="clarion-", suffix=".pem"))
            file.write(text)
            file.flush()
            paths.append(file.name)
        context.load_cert_chain(*paths)


async def _asked(command: Mapping[str, Any]) -> Mapping[str, Any]:
    """`status` of what a credential plugin prints. Raises NotReady (CredentialPluginFailed)."""
    name = str(command.get("command") or "")
    version = command.get("apiVersion") or "client.authentication.k8s.io/v1"
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**os.environ, **{each["name"]: str(each["value"]) for each in command.get("env") or ()},
                   "KUBERNETES_EXEC_INFO": orjson.dumps(asked).decode()}
    try:
        process = await asyncio.create_subprocess_exec(
            name, *map(str, command.get("args") or ()), env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    except OSError as error:
        hint = f" ({command['installHint'].strip()})" if command.get("installHint") else ""
        raise _failed(name, f"cannot be run: {error.strerror}{hint}") from error
    try:
        async with asyncio.timeout(_PLUGIN_S):
            printed, said = await process.communicate()
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise _failed(name, f"did not end within {_PLUGIN_S:.0f} s") from error
        raise
    if process.returncode:
        words = said.decode(errors="replace").strip().splitlines()
        raise _failed(name, f"ended with {process.returncode}: {words[-1] if words else 'it said nothing'}")
    try:
        status: Mapping[str, Any] = orjson.loads(printed)["status"]
        if status.get("token") or status.get("clientCertificateData"):
            return status
    except (ValueError, TypeError, KeyError, AttributeError):  # whose text would have a token in it
        pass
    raise _failed(name, "printed no ExecCredential with a token or a certificate")


def _failed(name: str, why: str) -> NotReady:
    return NotReady("CredentialPluginFailed", f"the kubeconfig's exec: {Path(name).name} {why}")
