"""
The fields of a pod, with their JSON types, whoever makes it: a Service, a Deployment, a ContainerSource.

Shapes are those of schema.py. All of Kubernetes' fields are here, also those that no kind here does anything
with: each kind says so itself, by name.
"""

from typing import Any

from eventing.control.schema import ANY

INT_OR_TEXT = (int, str)  # ports go by number or name
QUANTITY = (str, int, float)

_REFERENCE = {"name": str, "optional": bool, "key": str}
_OF_POD = {"fieldRef": {"fieldPath": str, "apiVersion": str},
           "resourceFieldRef": {"containerName": str, "resource": str, "divisor": QUANTITY}}
_PROBE = {
    "httpGet": {"path": str, "host": str, "scheme": str, "port": INT_OR_TEXT,
                "httpHeaders": [{"name": str, "value": str}]},
    "tcpSocket": {"host": str, "port": INT_OR_TEXT}, "exec": {"command": [str]},
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
_POD_SECURITY = {
    **{name: _SECURITY[name] for name in ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile",
                                          "appArmorProfile", "seLinuxOptions", "windowsOptions")},
    "fsGroup": int, "supplementalGroups": [int], "fsGroupChangePolicy": str, "supplementalGroupsPolicy": str,
    "seLinuxChangePolicy": str, "sysctls": ANY,
}
CONTAINER = {
    "name": str, "image": str, "command": [str], "args": [str], "workingDir": str, "imagePullPolicy": str,
    "terminationMessagePolicy": str, "terminationMessagePath": str,
    "env": [{"name": str, "value": str,
             "valueFrom": {"configMapKeyRef": _REFERENCE, "secretKeyRef": _REFERENCE, "fileKeyRef": ANY,
                           **_OF_POD}}],
    "envFrom": [{"prefix": str, "configMapRef": _REFERENCE, "secretRef": _REFERENCE}],
    "ports": [{"name": str, "containerPort": int, "protocol": str, "hostPort": int, "hostIP": str}],
    "readinessProbe": _PROBE, "livenessProbe": _PROBE, "startupProbe": _PROBE,
    "resources": {"limits": {"*": QUANTITY}, "requests": {"*": QUANTITY}, "claims": ANY},
    "securityContext": _SECURITY,
    "volumeMounts": [{"name": str, "mountPath": str, "subPath": str, "readOnly": bool,
                      "mountPropagation": str, "subPathExpr": str, "recursiveReadOnly": str}],
    # Refused by Knative.
    **dict.fromkeys(("lifecycle", "stdin", "stdinOnce", "tty", "volumeDevices", "resizePolicy",
                     "restartPolicy", "restartPolicyRules"), ANY),
}
_ITEMS = [{"key": str, "path": str, "mode": int}]
_FILES = {"items": _ITEMS, "optional": bool, "defaultMode": int}
_DOWNWARD = {"items": [{"path": str, "mode": int, **_OF_POD}]}
_PROJECTED = {"name": str, "items": _ITEMS, "optional": bool}
_VOLUME = {
    "name": str, "secret": {"secretName": str, **_FILES}, "configMap": {"name": str, **_FILES},
    "projected": {"sources": [{"secret": _PROJECTED, "configMap": _PROJECTED, "downwardAPI": _DOWNWARD,
                               "serviceAccountToken": {"path": str, "audience": str,
                                                       "expirationSeconds": int},
                               "clusterTrustBundle": ANY, "podCertificate": ANY}],
                  "defaultMode": int},
    "emptyDir": {"medium": str, "sizeLimit": QUANTITY},
    "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
    # On Knative by a feature, or not at all.
    **dict.fromkeys((
        "hostPath", "csi", "ephemeral", "image", "downwardAPI", "awsElasticBlockStore", "azureDisk",
        "azureFile", "cephfs", "cinder", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo",
        "glusterfs", "iscsi", "nfs", "photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO",
        "storageos", "vsphereVolume"), ANY),
}
# On Knative by a feature, or not at all.
_RARE = (
    "affinity", "topologySpreadConstraints", "hostAliases", "nodeSelector", "runtimeClassName",
    "tolerations", "shareProcessNamespace", "priorityClassName", "schedulerName", "dnsPolicy", "dnsConfig",
    "hostIPC", "hostPID", "hostNetwork", "nodeName", "restartPolicy", "activeDeadlineSeconds",
    "ephemeralContainers", "serviceAccount", "hostname", "hostnameOverride",
    "subdomain", "setHostnameAsFQDN", "hostUsers", "os", "overhead", "preemptionPolicy", "priority",
    "readinessGates", "schedulingGates", "resourceClaims", "resources",
)
POD: dict[str, Any] = {
    "containers": [CONTAINER], "initContainers": [CONTAINER], "volumes": [_VOLUME],
    "securityContext": _POD_SECURITY, "serviceAccountName": str,
    "imagePullSecrets": [{"name": str}], "enableServiceLinks": bool, "automountServiceAccountToken": bool,
    "terminationGracePeriodSeconds": int,
    **dict.fromkeys(_RARE, ANY),
}
