"""
Which JSON type each field of a Service has, down to the probes: what a CRD's schema says on Knative.

Whoever writes `command: python app.py` means a list, and is told so here, in the words of Go's decoder,
before anything reads the field. Pure; what the values may be is judged afterwards (template, podspec,
traffic).

Shapes are those of `eventing/control/schema.py`; members that a shape does not have are judged there. All
fields of Kubernetes' pods are here, also those that Knative refuses: it is podspec.py that says so, and by
name. null is always absent.
"""

from typing import Any

from eventing.control.schema import ANY, METADATA, Strict
from serving.objects import quantity

_INT_OR_TEXT = (int, str)  # ports go by number or name
_QUANTITY = (str, int, float)

_REFERENCE = {"name": str, "optional": bool, "key": str}
_PROBE = {
    "httpGet": {"path": str, "host": str, "scheme": str, "port": _INT_OR_TEXT,
                "httpHeaders": [{"name": str, "value": str}]},
    "tcpSocket": {"host": str, "port": _INT_OR_TEXT}, "exec": {"command": [str]},
    "grpc": {"port": int, "service": str},
    "initialDelaySeconds": int, "timeoutSeconds": int, "periodSeconds": int, "successThreshold": int,
    "failureThreshold": int, "terminationGracePeriodSeconds": int,
}
_SECURITY = {
    "runAsUser": int, "runAsGroup": int, "runAsNonRoot": bool, "privileged": bool,
    "readOnlyRootFilesystem": bool, "allowPrivilegeEscalation": bool,
    "capabilities": {"add": [str], "drop": [str]},
    "seccompProfile": {"type": str, "localhostProfile": str},
    "appArmorProfile": ANY, "procMount": str, "seLinuxOptions": ANY, "windowsOptions": ANY,
}
_CONTAINER = {
    "name": str, "image": str, "command": [str], "args": [str], "workingDir": str, "imagePullPolicy": str,
    "terminationMessagePolicy": str, "terminationMessagePath": str,
    "env": [{"name": str, "value": str,
             "valueFrom": {"configMapKeyRef": _REFERENCE, "secretKeyRef": _REFERENCE, "fieldRef": ANY,
                           "resourceFieldRef": ANY, "fileKeyRef": ANY}}],
    "envFrom": [{"prefix": str, "configMapRef": _REFERENCE, "secretRef": _REFERENCE}],
    "ports": [{"name": str, "containerPort": int, "protocol": str, "hostPort": int, "hostIP": str}],
    "readinessProbe": _PROBE, "livenessProbe": _PROBE, "startupProbe": _PROBE,
    "resources": {"limits": {"*": _QUANTITY}, "requests": {"*": _QUANTITY}, "claims": ANY},
    "securityContext": _SECURITY,
    "volumeMounts": [{"name": str, "mountPath": str, "subPath": str, "readOnly": bool,
                      "mountPropagation": str, "subPathExpr": str, "recursiveReadOnly": str}],
    # Kubernetes', and refused by Knative.
    **dict.fromkeys(("lifecycle", "stdin", "stdinOnce", "tty", "volumeDevices", "resizePolicy",
                     "restartPolicy", "restartPolicyRules"), ANY),
}
_ITEMS = [{"key": str, "path": str, "mode": int}]
_FILES = {"items": _ITEMS, "optional": bool, "defaultMode": int}
_PROJECTED = {"name": str, "items": _ITEMS, "optional": bool}
_VOLUME = {
    "name": str, "secret": {"secretName": str, **_FILES}, "configMap": {"name": str, **_FILES},
    "projected": {"sources": [{"secret": _PROJECTED, "configMap": _PROJECTED, "downwardAPI": ANY,
                               "serviceAccountToken": {"path": str, "audience": str,
                                                       "expirationSeconds": int},
                               "clusterTrustBundle": ANY, "podCertificate": ANY}],
                  "defaultMode": int},
    "emptyDir": {"medium": str, "sizeLimit": _QUANTITY},
    "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
    # By a feature, or not at all.
    **dict.fromkeys((
        "hostPath", "csi", "ephemeral", "image", "downwardAPI", "awsElasticBlockStore", "azureDisk",
        "azureFile", "cephfs", "cinder", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo",
        "glusterfs", "iscsi", "nfs", "photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO",
        "storageos", "vsphereVolume"), ANY),
}
# Of a pod: by a feature, or not at all.
_POD = (
    "affinity", "topologySpreadConstraints", "hostAliases", "nodeSelector", "runtimeClassName",
    "tolerations", "shareProcessNamespace", "priorityClassName", "schedulerName", "dnsPolicy", "dnsConfig",
    "hostIPC", "hostPID", "hostNetwork", "nodeName", "restartPolicy", "terminationGracePeriodSeconds",
    "activeDeadlineSeconds", "ephemeralContainers", "serviceAccount", "hostname", "hostnameOverride",
    "subdomain", "setHostnameAsFQDN", "hostUsers", "os", "overhead", "preemptionPolicy", "priority",
    "readinessGates", "schedulingGates", "resourceClaims", "resources",
)
REVISION_SPEC: dict[str, Any] = {
    "containerConcurrency": int, "timeoutSeconds": int, "responseStartTimeoutSeconds": int,
    "idleTimeoutSeconds": int,
    "containers": [_CONTAINER], "initContainers": [_CONTAINER], "volumes": [_VOLUME], "securityContext": ANY,
    "serviceAccountName": str, "imagePullSecrets": [{"name": str}], "enableServiceLinks": bool,
    "automountServiceAccountToken": bool, **dict.fromkeys(_POD, ANY),
}
TRAFFIC: list[Any] = [{"percent": int, "revisionName": str, "configurationName": str, "tag": str, "url": str,
                       "latestRevision": bool}]
CONFIGURATION_SPEC: dict[str, Any] = {"template": {"metadata": Strict(METADATA), "spec": REVISION_SPEC}}
SERVICE_SPEC: dict[str, Any] = {**CONFIGURATION_SPEC, "traffic": TRAFFIC}

DOMAIN_SPEC: dict[str, Any] = {
    "ref": {"apiVersion": str, "kind": str, "name": str, "namespace": str}, "tls": {"secretName": str},
}

_GO = {str: "string", int: "int64", bool: "bool", _INT_OR_TEXT: "intstr.IntOrString",
       _QUANTITY: "resource.Quantity"}


def check(value: Any, shape: Any, path: str) -> None:
    """Raise ValueError, which names the *path*, if *value* is not of that *shape*."""
    if isinstance(shape, Strict):
        shape = shape.shape
    if value is None or shape is ANY:
        return
    if isinstance(shape, list):
        _expect(isinstance(value, list), value, path, "[]string" if shape == [str] else "list")
        for index, element in enumerate(value):
            check(element, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict):
        _expect(isinstance(value, dict), value, path, "map[string]string" if "*" in shape else "object")
        for name, member in value.items():
            found = shape.get("*", shape.get(name))
            if found is not None:
                check(member, found, f"{path}.{name}")
    else:
        # In JSON true is no number, although it is one in Python.
        is_right = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
        _expect(is_right, value, path, _GO[shape])
        if shape is _QUANTITY:
            _check_quantity(value, path)


def _check_quantity(value: Any, path: str) -> None:
    try:
        quantity.parse(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _expect(is_right: bool, value: Any, path: str, go_type: str) -> None:
    if not is_right:
        kind = _json_type(value)
        raise ValueError(f"cannot unmarshal {kind} into Go struct field {path} of type {go_type}")


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
