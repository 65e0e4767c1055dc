"""
What an ApiServerSource may watch: its resources as the server knows them, and whether we may.

    discover        a kind becomes a resource, with the plural that the server calls it (Knative guesses that)
    check_access    get, list and watch, each asked of the server beforehand (SelfSubjectAccessReview), so
                    that a missing right is said in Knative's words; not by a server that cannot be asked
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from eventing.control import resource, selector
from sources.apiserver.server import FORBIDDEN, Failure, Server
from sources.source import NotReady

_VERBS = ("get", "list", "watch")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass(frozen=True, slots=True)
class Watched:
    """One of `spec.resources`."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool
    selector: str  # of labels, in one line

    def path(self, namespace: str) -> str:
        """Where its objects of one namespace are; "" is all of them."""
        home = f"/namespaces/{quote(namespace)}" if namespace and self.is_namespaced else ""
        return f"{_root(self.api_version)}{home}/{self.plural}"


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


async def discover(server: Server, wanted: Sequence[Mapping[str, Any]]) -> list[Watched]:
    """The resources that `spec.resources` names. Raises NotReady (ResourceNotFound)."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    resources = []
    for each in wanted:
        api_version = each["apiVersion"]
        if api_version not in found:
            found[api_version] = await _known(server, api_version)
        named = [one for one in found[api_version] if one.get("kind") == each["kind"]]
        if not named:
            raise NotReady("ResourceNotFound", f"{server.url} has no kind {each['kind']} in apiVersion "
                                               f"{api_version}")
        resources.append(Watched(api_version, each["kind"], plural=named[0]["name"],
                                 is_namespaced=bool(named[0].get("namespaced")),
                                 selector=selector.text(each.get("selector") or {})))
    return list(dict.fromkeys(resources))


async def _known(server: Server, api_version: str) -> list[Mapping[str, Any]]:
    """Resources of one group and version that are no subresources; none if there is no such group."""
    try:
        listed = await server.get(_root(api_version))
    except Failure as failure:
        if failure.status == HTTPStatus.NOT_FOUND:
            return []
        raise
    return [one for one in listed.get("resources") or () if "/" not in one.get("name", "/")]


async def check_access(server: Server, resources: Iterable[Watched], namespaces: Collection[str]) -> None:
    """Raise NotReady, naming everything that is missing, unless all may be got, listed and watched."""
    asked = [(each, namespace) for each in resources
             for namespace in (namespaces if each.is_namespaced else ("",))]
    try:
        missing = [part for each, namespace in asked if (part := await _missing(server, each, namespace))]
    except Failure as failure:
        if failure.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            raise
        return
    if missing:
        raise NotReady(FORBIDDEN, f"User {await _user(server)} cannot {', '.join(missing)}")


async def _missing(server: Server, watched: Watched, namespace: str) -> str:
    """The verbs that we may not use, and on what; "" if there are none."""
    verbs = [verb for verb in _VERBS if not await _may(server, verb, watched, namespace)]
    what = f'resource "{watched.plural}" in API group "{resource.group(watched.api_version)}"'
    return f'{", ".join(verbs)} {what} in Namespace "{namespace}"' if verbs else ""


async def _may(server: Server, verb: str, watched: Watched, namespace: str) -> bool:
    asked = {"verb": verb, "group": resource.group(watched.api_version), "resource": watched.plural,
             "namespace": namespace}
    answer = await server.post(_REVIEWS, {"apiVersion": "authorization.k8s.io/v1",
                                          "kind": "SelfSubjectAccessReview",
                                          "spec": {"resourceAttributes": asked}})
    return bool((answer.get("status") or {}).get("allowed"))


async def _user(server: Server) -> str:
    """Who the server takes us for."""
    try:
        answer = await server.post(_WHO, {"apiVersion": "authentication.k8s.io/v1",
                                          "kind": "SelfSubjectReview"})
    except Failure:
        return "of the kubeconfig"
    return str(answer["status"]["userInfo"]["username"])
