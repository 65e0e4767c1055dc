"""Kubeconfigs: what is understood, and what is refused without a word of what is in it."""

import base64

import pytest
import yaml

from sources.apiserver import kubeconfig
from sources.apiserver.kubeconfig import KubeconfigInvalid


def config(cluster=None, user=None, **top):
    """A kubeconfig with one context."""
    return yaml.safe_dump({
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": "https://api.example:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}},
                     {"name": "nobody", "context": {"cluster": "k"}}], **top})


def test_everything():
    """Certificates as data, names, tokens and passwords."""
    pem = base64.b64encode(b"PEM").decode()
    access = kubeconfig.of(config(
        {"server": "https://api.example:6443/k8s/c-1/", "certificate-authority-data": pem,
         "tls-server-name": "kubernetes", "insecure-skip-tls-verify": False},
        {"client-certificate-data": pem, "client-key-data": pem, "token": "t", "username": "u",
         "password": "p", "exec": {"command": "login"}}))
    assert (access.server, access.authority, access.server_name) == (
        "https://api.example:6443/k8s/c-1", "PEM", "kubernetes")
    assert (access.certificate, access.key, access.token) == ("PEM", "PEM", "t")
    assert (access.username, access.password, access.command) == ("u", "p", {"command": "login"})
    assert access.is_verified
    assert "PEM" not in repr(access).replace("authority='PEM'", "").replace("certificate='PEM'", "")


def test_files(tmp_path):
    """Paths are those beside the kubeconfig."""
    (tmp_path / "ca.crt").write_text("CA")
    text = config({"certificate-authority": "ca.crt"}, {"tokenFile": "token"})
    access = kubeconfig.of(text, folder=tmp_path)
    assert (access.authority, access.token_file) == ("CA", tmp_path / "token")


def test_context():
    """Another context than the current one; one without a user."""
    assert kubeconfig.of(config(user={"token": "t"}), "nobody").token == ""


@pytest.mark.parametrize(("text", "message"), [
    ("{", "the kubeconfig is no YAML"),
    ("a: b\n---\nc: s3cret\n", "the kubeconfig has several YAML documents (---): keep one"),
    ("a: *s3cret", "the kubeconfig is no YAML"),
    ("- s3cret", "the kubeconfig is no YAML object"),
    ("{}", "no current-context"),
    (config(**{"current-context": "x"}), 'no context "x"'),
    (config(clusters=[]), 'no cluster "k"'),
    (config(users="s3cret"), 'no user "u"'),
    (config({"server": "api.example"}), "no server such as https://HOST:6443"),
    (config({"proxy-url": "http://s3cret"}), "proxy-url is not supported"),
    (config(user={"as": "s3cret"}), "as is not supported"),
    (config(user={"auth-provider": {"name": "s3cret"}}), "auth-provider is not supported"),
    (config(user={"client-key": "key.pem"}), "client-key is a path, which means nothing in a Secret"),
    (config(user={"client-key-data": "s3cret!"}), "client-key-data is no PEM in base64"),
])
def test_refused(text, message):
    """The message names the field and has no value in it."""
    with pytest.raises(KubeconfigInvalid) as refused:
        kubeconfig.of(text)
    assert message in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_pod(tmp_path):
    """What Kubernetes gives a pod; elsewhere it is said that this is none."""
    (tmp_path / "ca.crt").write_text("CA")
    given = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    access = kubeconfig.of_pod(tmp_path, given)
    assert (access.server, access.authority, access.token_file) == (
        "https://10.0.0.1:6443", "CA", tmp_path / "token")
    with pytest.raises(KubeconfigInvalid, match="this is no pod"):
        kubeconfig.of_pod(tmp_path, {})
