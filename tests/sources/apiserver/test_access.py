"""Who we are to a real kube-apiserver, and what becomes of a source that may not, or cannot, watch."""

import asyncio
import base64
import contextlib
import json
import os
import sys

import pytest
import yaml

from tests.servers.kubernetes import TOKEN, VISITOR


async def test_certificate(flow, sources, sink, kubernetes):
    """A client certificate in the kubeconfig says who we are."""
    pem = {part: base64.b64encode((kubernetes.directory / f"keeper.{end}").read_bytes()).decode()
           for part, end in (("client-certificate-data", "crt"), ("client-key-data", "key"))}
    flow.secrets["kubeconfig"] = kubernetes.config(pem)
    await flow.apply()

    await flow.config_map("a")
    await sink.until(lambda sink: sink.changes() == [("add", "a")])


async def test_file(flow, sources, sink, kubernetes, tmp_path):
    """A kubeconfig on this machine, whose token is in a file beside it."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "config").write_text(kubernetes.config({"tokenFile": "token"}))
    flow.secrets, flow.record["secret_versions"] = {}, []
    flow.record["kubeconfig"] = str(tmp_path / "config")
    await flow.apply()

    await flow.config_map("a")
    await sink.until(lambda sink: sink.changes() == [("add", "a")])


def plugin(script):
    """A user whose credentials a program prints."""
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable,
                     "args": ["-c", script], "env": [{"name": "TOKEN", "value": TOKEN}]}}


async def test_plugin(flow, sources, sink, kubernetes, tmp_path):
    """A credential plugin is run once for the many requests of a run."""
    runs = tmp_path / "runs"
    flow.secrets["kubeconfig"] = kubernetes.config(plugin(f"""
import json, os
open({str(runs)!r}, "a").write("x")
assert json.loads(os.environ["KUBERNETES_EXEC_INFO"])["kind"] == "ExecCredential"
status = {{"token": os.environ["TOKEN"], "expirationTimestamp": "2100-01-01T00:00:00Z"}}
print(json.dumps({{"status": status}}))
"""))
    await flow.apply()

    await flow.config_map("a")
    await sink.until(lambda sink: sink.changes() == [("add", "a")])

    # Discovery, three questions of access, two lists and a watch: a run that fails in between begins anew.
    assert len(runs.read_text()) < 5


WRONG = {
    "AuthenticationFailed": ({"token": "s3cret"}, "Unauthorized"),
    "CredentialPluginFailed": (plugin("import sys; sys.exit('no session')"), "ended with 1: no session"),
    "ConnectionFailed": (None, "certificate"),
    "KubeconfigInvalid": ({"client-certificate-data": "czNjcmV0", "client-key-data": "czNjcmV0"}, "key"),
}


@pytest.mark.parametrize("reason", WRONG)
@pytest.mark.usefixtures("sources")
async def test_not_ready(flow, kubernetes, capfd, reason):
    """What is wrong is the object's reason, in words that have no secret in them."""
    user, words = WRONG[reason]
    flow.secrets["kubeconfig"] = kubernetes.config(user or {"token": "s3cret"})
    if reason == "ConnectionFailed":
        other = yaml.safe_load(flow.secrets["kubeconfig"])
        authority = (kubernetes.directory / "ca.crt").read_bytes()
        other["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(authority).decode()
        flow.secrets["kubeconfig"] = yaml.safe_dump(other)

    await flow.project()
    state = await flow.until(lambda state: not state["ready"])

    assert state["reason"] == reason
    assert words in state["message"]
    shown = json.dumps(state) + "".join(capfd.readouterr())
    assert "s3cret" not in shown
    assert TOKEN not in shown


async def test_no_such_kind(flow, sources):
    """A kind that the server does not have is the object's reason."""
    await flow.project(resources=[{"apiVersion": "shop.example/v1", "kind": "Cart"}])
    state = await flow.until(lambda state: not state["ready"])
    assert state["reason"] == "ResourceNotFound"
    assert "no kind Cart in apiVersion shop.example/v1" in state["message"]


async def test_permissions(flow, sources, sink, kubernetes):
    """A missing right is said as Knative says it; the source begins once it is granted."""
    flow.secrets["kubeconfig"] = kubernetes.config({"token": VISITOR})
    await flow.project()
    state = await flow.until(lambda state: not state["ready"])
    assert state["reason"] == "InsufficientPermissions"
    assert state["message"] == ('User visitor cannot get, list, watch resource "configmaps" in API group "" '
                                f'in Namespace "{flow.namespace}"')

    await flow.kubectl("create", "role", "watch", "--verb=get,list,watch", "--resource=configmaps")
    await flow.kubectl("create", "rolebinding", "watch", "--role=watch", "--user=visitor")
    await flow.until(lambda state: state["ready"])
    await flow.config_map("a")
    await sink.until(lambda sink: sink.changes() == [("add", "a")])


async def test_skipped_permissions_check(flow, sources, kubernetes):
    """Without the question it is the first list that says so."""
    flow.secrets["kubeconfig"] = kubernetes.config({"token": VISITOR})
    flow.record["skips_permissions_check"] = True
    await flow.project()
    state = await flow.until(lambda state: not state["ready"])
    assert state["reason"] == "InsufficientPermissions"
    assert 'configmaps is forbidden: User "visitor" cannot list resource' in state["message"]


async def test_plugin_that_hangs_is_ended(flow, sources, kubernetes, tmp_path):
    """A source that is deleted takes its credential plugin along."""
    pid = tmp_path / "pid"
    flow.secrets["kubeconfig"] = kubernetes.config(plugin(
        f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"))
    await flow.project()
    async with asyncio.timeout(20):
        while not pid.exists() or not pid.read_text():
            await asyncio.sleep(0.02)

    await flow.delete()

    with contextlib.suppress(ProcessLookupError):
        async with asyncio.timeout(20):
            while os.kill(int(pid.read_text()), 0) is None:
                await asyncio.sleep(0.02)
