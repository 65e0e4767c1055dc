"""
What may I do, and who am I: the reviews that kubectl and controllers post. Nothing is stored.

The control port asks nobody who is there: everybody is `system:anonymous`, and may do everything.
Source: Kubernetes' API reference, authorization.k8s.io/v1 and authentication.k8s.io/v1.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from eventing.control import failure
from eventing.control.api import body, protobuf

_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_ALLOWED = {"allowed": True, "reason": "nobody is asked who he is, and nobody is refused"}
_RULES = {"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
          "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": False}
_NOBODY = {"userInfo": {"username": "system:anonymous", "groups": ["system:unauthenticated"]}}
# (group, plural) -> kind, and its status; all are v1, and of no namespace.
_REVIEWS: Mapping[tuple[str, str], tuple[str, dict[str, Any]]] = {
    (_AUTHORIZATION, "selfsubjectaccessreviews"): ("SelfSubjectAccessReview", _ALLOWED),
    (_AUTHORIZATION, "subjectaccessreviews"): ("SubjectAccessReview", _ALLOWED),
    (_AUTHORIZATION, "selfsubjectrulesreviews"): ("SelfSubjectRulesReview", _RULES),
    (_AUTHENTICATION, "selfsubjectreviews"): ("SelfSubjectReview", _NOBODY),
}


def is_one(method: str, group: str, rest: list[str]) -> bool:
    """Whether a request of *rest* below /apis/*group* posts a review."""
    return method == "POST" and rest[:1] == ["v1"] and (group, *rest[1:]) in _REVIEWS


async def answer(request: Request, group: str, plural: str) -> dict[str, Any]:
    """The review with its status; what was asked is given back, where it came as JSON."""
    kind, status = _REVIEWS[(group, plural)]
    raw, type_ = await body.read(request), body.media_type(request)
    sent = {} if type_ == protobuf.TYPE else body.decode(raw, type_)
    if not isinstance(sent, dict):
        raise failure.bad_request(f"a {kind} must be an object")
    return {"kind": kind, "apiVersion": f"{group}/v1", "metadata": {}, "spec": sent.get("spec") or {},
            "status": status}
