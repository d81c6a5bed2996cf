"""Every name that Kubernetes sees: of the API, labels, annotations, and the conditions with their reasons."""

from enum import StrEnum
from typing import Final

__all__ = [
    "AZURE_ENDPOINT_ANNOTATION",
    "AZURE_REGION_ANNOTATION",
    "CA_CONFIG_MAP",
    "CA_KEY",
    "CPU_REQUEST_ANNOTATION",
    "CREDENTIALS_SECRET_ANNOTATION",
    "DISABLED",
    "ENABLED",
    "ENGINE_ANNOTATION",
    "GROUP",
    "INJECTED_LABEL",
    "INJECTION_WARNINGS_ANNOTATION",
    "INJECT_LABEL",
    "KIND",
    "LOG_LEVEL_ANNOTATION",
    "MEMORY_LIMIT_ANNOTATION",
    "MEMORY_REQUEST_ANNOTATION",
    "NAMESPACE_ENABLED",
    "NOT_INJECTED_ANNOTATION",
    "OPERATOR_CA_ANNOTATION",
    "OPERATOR_SELECTOR",
    "PLURAL",
    "POOL_ANNOTATION",
    "SIDECAR_CONTAINER",
    "STARTUP_WAIT_ANNOTATION",
    "VERSION",
    "Condition",
    "Reason",
    "Status",
]

GROUP: Final = "speechpool.dev"
"""The API group, and the prefix of every label and annotation."""

VERSION: Final = "v1alpha1"
KIND: Final = "SpeechPool"
PLURAL: Final = "speechpools"
"""Of the objects, with the group."""

INJECT_LABEL: Final = f"{GROUP}/inject"
"""Asks for a sidecar: `ENABLED` or `DISABLED` on a pod, `NAMESPACE_ENABLED` on a namespace."""

INJECTED_LABEL: Final = f"{GROUP}/injected"
"""On a pod that has a sidecar, `ENABLED`: the injector sets it, and who adds a sidecar by hand does too."""

SIDECAR_CONTAINER: Final = "speechpool"
"""The name of the sidecar among a pod's initContainers."""

OPERATOR_SELECTOR: Final = "app.kubernetes.io/name=speechpool,app.kubernetes.io/component=operator"
"""Selects the operator's Deployment, Service and pods, as kubectl's `-l`."""

ENABLED: Final = "true"
DISABLED: Final = "false"
NAMESPACE_ENABLED: Final = "enabled"

POOL_ANNOTATION: Final = f"{GROUP}/pool"
"""Names the one SpeechPool of the pod's namespace that its sidecar follows."""

ENGINE_ANNOTATION: Final = f"{GROUP}/engine"
CREDENTIALS_SECRET_ANNOTATION: Final = f"{GROUP}/credentials-secret"
CPU_REQUEST_ANNOTATION: Final = f"{GROUP}/cpu-request"
MEMORY_REQUEST_ANNOTATION: Final = f"{GROUP}/memory-request"
MEMORY_LIMIT_ANNOTATION: Final = f"{GROUP}/memory-limit"
STARTUP_WAIT_ANNOTATION: Final = f"{GROUP}/startup-wait-seconds"
LOG_LEVEL_ANNOTATION: Final = f"{GROUP}/log-level"

AZURE_REGION_ANNOTATION: Final = f"{GROUP}/azure-region"
AZURE_ENDPOINT_ANNOTATION: Final = f"{GROUP}/azure-endpoint"
"""Where the pod's Azure Speech resource is; no secret, so that it need not be in the credentials' Secret."""

OPERATOR_CA_ANNOTATION: Final = f"{GROUP}/operator-ca"
"""The certificates that vouch for the operator, in PEM, as they were at the admission; the injector writes it."""

NOT_INJECTED_ANNOTATION: Final = f"{GROUP}/not-injected"
"""Why a pod that asked for a sidecar got none, in one word; the injector writes it."""

INJECTION_WARNINGS_ANNOTATION: Final = f"{GROUP}/injection-warnings"
"""What the injector left aside, a line for each; it writes it."""

CA_CONFIG_MAP: Final = "speechpool-ca"
"""The ConfigMap beside the sidecars that holds the certificates that vouch for the operator now."""

CA_KEY: Final = "ca.crt"
"""Its key."""


class Status(StrEnum):
    """Whether a condition holds (metav1.ConditionStatus)."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StrEnum):
    """The conditions of a SpeechPool: three that are always there, three that are there while they are true."""

    ACCEPTED = "Accepted"
    """The object is valid.

    True: Valid. False: Invalid, ClusterScopeIgnored.
    """
    SYNCED = "Synced"
    """Every connected sidecar runs this generation.

    True: AllSynced, NoSidecars. False: Pending, Refused, NotAccepted. Unknown: NotConnected.
    """
    READY = "Ready"
    """Synced, and every pool of every connected sidecar has reached its warm size and can serve.

    True: AllWarm, NoSidecars. False: Warming, Pending, Refused, NotAccepted. Unknown: NotConnected, Silent.
    """
    CONFLICTED = "Conflicted"
    """Another object has pods that this one selects.

    True: NamedByPod, HigherPriority, Older, FirstByName.
    """
    DEGRADED = "Degraded"
    """Sidecars do not run what they should, and will not by themselves.

    True: Refused, SidecarsMissing.
    """
    STALE = "Stale"
    """Sidecars have fallen silent: what is said of them is old.

    True: Silent.
    """


class Reason(StrEnum):
    """Why a condition holds or not."""

    VALID = "Valid"
    """Every value is within its bounds, and they fit together."""
    INVALID = "Invalid"
    """Values are wrong, so nothing of the object is sent: its sidecars keep what they run."""
    CLUSTER_SCOPE_IGNORED = "ClusterScopeIgnored"
    """Scope Cluster outside of the operator's own namespace: the object selects nothing."""

    ALL_SYNCED = "AllSynced"
    """Every connected sidecar acknowledged this generation."""
    ALL_WARM = "AllWarm"
    """Every pool has reached its warm size."""
    NO_SIDECARS = "NoSidecars"
    """No pod with a sidecar follows this object."""
    PENDING = "Pending"
    """Sidecars have this generation and have not said yet that it holds."""
    REFUSED = "Refused"
    """Sidecars refused this generation and keep what they ran before."""
    NOT_ACCEPTED = "NotAccepted"
    """The object is not accepted, so no sidecar has this generation."""
    NOT_CONNECTED = "NotConnected"
    """No sidecar of this object is connected to the operator."""
    WARMING = "Warming"
    """Pools are below their warm size, or cannot serve."""
    SILENT = "Silent"
    """Sidecars that were connected have said nothing for a while."""
    SIDECARS_MISSING = "SidecarsMissing"
    """Pods ask for a sidecar, and none of theirs has connected."""

    NAMED_BY_POD = "NamedByPod"
    """The pods' annotation names the other object."""
    HIGHER_PRIORITY = "HigherPriority"
    """The other object's priority is higher."""
    OLDER = "Older"
    """The priorities are equal, and the other object is older."""
    FIRST_BY_NAME = "FirstByName"
    """Priority and age are equal, and the other object is the first by name."""

    NO_MATCH = "NoMatch"
    """No SpeechPool selects the pod."""
    NAMED_POOL_NOT_FOUND = "NamedPoolNotFound"
    """The pod's annotation names a SpeechPool that its namespace does not have."""
