"""What objects may have in them, as far as the product writes them: everything else is refused, as a real API server
does with fieldValidation=Strict. Types and field names as in the reference of batch/v1 and v1; only what every API server
from 1.21 to 1.33 keeps without a feature gate (Job's suspend is alpha in 1.21, and would be dropped there)."""

import re

NAME_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
NAME_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\Z")

TEXTS = {"*": str}
LOCAL = {"name": str}
METADATA = {
    "name": str, "namespace": str, "labels": TEXTS, "annotations": TEXTS,
    "ownerReferences": [{"apiVersion": str, "kind": str, "name": str, "uid": str, "controller": bool,
                         "blockOwnerDeletion": bool}],
}
CONTAINER = {
    "name": str, "image": str, "imagePullPolicy": str, "command": [str], "args": [str],
    "ports": [{"containerPort": int, "name": str, "protocol": str}],
    "env": [{"name": str, "value": str,
             "valueFrom": {"secretKeyRef": {"name": str, "key": str, "optional": bool}}}],
    "resources": {"limits": TEXTS, "requests": TEXTS},
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
}
POD = {
    "restartPolicy": str, "terminationGracePeriodSeconds": int, "enableServiceLinks": bool,
    "automountServiceAccountToken": bool, "serviceAccountName": str, "runtimeClassName": str, "nodeSelector": TEXTS,
    "tolerations": [{"key": str, "operator": str, "value": str, "effect": str}],
    "imagePullSecrets": [LOCAL], "containers": [CONTAINER],
    "volumes": [{"name": str, "emptyDir": {"medium": str, "sizeLimit": str}, "hostPath": {"path": str, "type": str},
                 "persistentVolumeClaim": {"claimName": str, "readOnly": bool}}],
}
HEAD = {"apiVersion": str, "kind": str, "metadata": METADATA}
KINDS = {
    "Job": {**HEAD, "spec": {"backoffLimit": int, "ttlSecondsAfterFinished": int,
                             "template": {"metadata": METADATA, "spec": POD}}},
    "Service": {**HEAD, "spec": {"type": str, "selector": TEXTS, "publishNotReadyAddresses": bool,
                                 "ports": [{"name": str, "port": int, "targetPort": int, "protocol": str,
                                            "nodePort": int}]}},
    "Secret": {**HEAD, "type": str, "stringData": TEXTS, "data": TEXTS},
    "SelfSubjectAccessReview": {**HEAD, "spec": {"resourceAttributes": {
        "namespace": str, "verb": str, "group": str, "version": str, "resource": str, "subresource": str,
        "name": str}}, "status": {"allowed": bool}},
}


def unknown_or_wrong(value, schema, path):
    """The first finding, or None."""
    if schema in (str, int, bool):
        right = isinstance(value, schema) and not (schema is int and isinstance(value, bool))
        return None if right else f"{path}: expected {schema.__name__}, got {value!r}"
    if isinstance(schema, list):
        if not isinstance(value, list):
            return f"{path}: expected a list"
        return next(filter(None, (unknown_or_wrong(item, schema[0], f"{path}[{i}]")
                                  for i, item in enumerate(value))), None)
    if not isinstance(value, dict):
        return f"{path}: expected an object"
    for name, item in value.items():
        inner = schema.get(name, schema.get("*"))
        if inner is None:
            return f'unknown field "{path}.{name}"'
        if path.endswith("metadata") and name == "creationTimestamp" and item is None:
            continue
        if finding := unknown_or_wrong(item, inner, f"{path}.{name}"):
            return finding
    return None


def finding(kind, body):
    """Why a real API server would refuse the object, or None: (reason, message)."""
    allowed = {**KINDS[kind], "metadata": {**METADATA, "creationTimestamp": str}, "status": {"*": {"*": str}}}
    body = {name: value for name, value in body.items() if name != "status"}  # kubectl adds an empty one
    strange = unknown_or_wrong(body, allowed, kind)
    if strange:
        return "BadRequest", f"strict decoding error: {strange}"
    if kind == "SelfSubjectAccessReview":
        return None
    metadata = body["metadata"]
    name = metadata.get("name", "")
    rule, word = (NAME_1035, "DNS-1035 label") if kind == "Service" else (NAME_1123, "lowercase RFC 1123 subdomain")
    if len(name) > 63 or not rule.match(name):
        return "Invalid", f'{kind} "{name}" is invalid: metadata.name: Invalid value: "{name}": a {word} must ...'
    for label in metadata.get("labels", {}).values():
        if len(label) > 63 or not LABEL_VALUE.match(label):
            return "Invalid", f'metadata.labels: Invalid value: "{label}"'
    for owner in metadata.get("ownerReferences", []):
        if not all(owner.get(field) for field in ("apiVersion", "kind", "name", "uid")):
            return "Invalid", "metadata.ownerReferences: Required value"
    return _job_finding(body) if kind == "Job" else None


def _job_finding(body):
    template = body["spec"]["template"]
    pod = template["spec"]
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        return "Invalid", 'spec.template.spec.restartPolicy: Unsupported value'
    volumes = [volume["name"] for volume in pod.get("volumes", [])]
    for container in pod["containers"]:
        if not container.get("image"):
            return "Invalid", "spec.template.spec.containers[0].image: Required value"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                return "Invalid", f'volumeMounts[0].name: Not found: "{mount["name"]}"'
        for resource, amount in container.get("resources", {}).get("limits", {}).items():
            if "/" in resource and not amount.isdigit():
                return "Invalid", f"resources.limits[{resource}]: Invalid value: must be an integer"
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        if len(set(paths)) != len(paths):
            return "Invalid", "volumeMounts: Invalid value: must be unique"
    return None
