"""What `kubectl auth` asks: everybody may do everything, and is nobody in particular."""

import pytest

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"


@pytest.mark.parametrize(("kind", "plural"), [
    ("SelfSubjectAccessReview", "selfsubjectaccessreviews"), ("SubjectAccessReview", "subjectaccessreviews")])
async def test_nobody_is_refused(api, kind, plural):
    """`kubectl auth can-i`: the answer is yes, and holds what was asked."""
    asked = {"resourceAttributes": {"verb": "create", "resource": "brokers", "namespace": "default"}}
    status, told, _ = await api("POST", f"{AUTHORIZATION}/{plural}", {
        "kind": kind, "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": asked})
    assert (status, told["kind"], told["spec"]) == (201, kind, asked)
    assert told["status"]["allowed"] is True


async def test_rules(api):
    """`kubectl auth can-i --list`: all verbs of all resources."""
    _, told, _ = await api("POST", f"{AUTHORIZATION}/selfsubjectrulesreviews", {"spec": {"namespace": "x"}})
    assert told["status"]["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert told["status"]["incomplete"] is False


async def test_who_is_asking(api):
    """`kubectl auth whoami`: nobody in particular; a body of protobuf does as well."""
    for body in ("{}", b"k8s\0"):
        type_ = "application/json" if body == "{}" else "application/vnd.kubernetes.protobuf"
        _, told, _ = await api("POST", f"{AUTHENTICATION}/selfsubjectreviews", body, content_type=type_)
        assert told["status"]["userInfo"]["username"] == "system:anonymous"


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("GET", f"{AUTHORIZATION}/selfsubjectaccessreviews", None, 404),
    ("POST", f"{AUTHORIZATION}/localsubjectaccessreviews", "{}", 404),
    ("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", "[]", 400),
    ("POST", f"{AUTHORIZATION}/selfsubjectaccessreviews", "{", 400)])
async def test_what_is_no_review(api, method, path, body, status):
    """Another verb, another review and a body that is none are refused."""
    assert (await api(method, path, body))[0] == status
