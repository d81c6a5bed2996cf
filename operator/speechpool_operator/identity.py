"""Which pod holds a token: judged by the API server, each time anew.

A token is believed only if the API server's TokenReview says that it is meant for this operator and bound to a pod, and
if that pod is there, with that uid, and not on its way out. The pod itself is looked at because a review is not enough:
a terminating pod's token passes, and a force-deleted pod's for ten seconds more. Nothing is remembered: a token that
was good is reviewed again at the next connection (the API server reviews more than a thousand a second).
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from speechpool.errors import SpeechPoolError
from speechpool_operator.kube import METADATA, KubeClient, KubeError, KubeFailure
from speechpool_operator.kube_paths import pods_path

__all__ = ["AUDIENCE", "Identities", "IdentityRefused", "IdentityUnknown", "PodIdentity", "Refusal", "bearer"]

AUDIENCE = "speechpool-operator"
"""Whom a sidecar's projected token is for."""

MAX_TOKEN_CHARACTERS = 8192
"""Longest token: the API server's are 1 to 2 KB, and this is what fits a header."""

CHECKS_AT_ONCE = 32
"""Tokens that are judged beside each other: enough to keep an API server busy, few enough to leave it room."""

_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


class Refusal(StrEnum):
    """Why nobody was believed: for logs and metrics, never for the one who asked."""

    NO_TOKEN = "NoToken"  # noqa: S105 -- a reason's name
    """There is no `Authorization: Bearer` header."""
    MALFORMED_TOKEN = "MalformedToken"  # noqa: S105 -- likewise
    """It is no JSON Web Token that could be one of the API server's."""
    WRONG_AUDIENCE = "WrongAudience"
    """It is for somebody else: the pod's ordinary token, or another service's."""
    NOT_AUTHENTICATED = "NotAuthenticated"
    """The API server does not accept it: expired, forged, of another cluster, or of an object that is gone."""
    NOT_A_POD = "NotAPod"
    """It is bound to no pod, as whoever may create tokens can have one, or not a ServiceAccount's at all."""
    POD_NOT_FOUND = "PodNotFound"
    """The pod is gone."""
    POD_REPLACED = "PodReplaced"
    """Another pod has the name now."""
    POD_TERMINATING = "PodTerminating"
    """The pod is being deleted."""

    @property
    def status(self) -> int:
        """The HTTP status, all that the other side is told: 401 for the token, 403 for the pod."""
        return 403 if self in _OF_THE_POD else 401


_OF_THE_POD = {Refusal.POD_NOT_FOUND, Refusal.POD_REPLACED, Refusal.POD_TERMINATING}


class IdentityRefused(SpeechPoolError):
    """The token is not that of a living pod.

    Args:
        refusal: Why.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class IdentityUnknown(SpeechPoolError):
    """The API server could not be asked: neither believed nor refused, to be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodIdentity:
    """A pod, as the API server knows it.

    Args:
        namespace: Of the pod and its ServiceAccount.
        name: Of the pod.
        uid: Of the pod; another pod of the same name has another.
        service_account: The name of its ServiceAccount.
        metadata: Of the pod, as the API server has it: labels, annotations, resourceVersion; without managedFields.
        expires_at: When its token ends, in seconds since 1970.
    """

    namespace: str
    name: str
    uid: str
    service_account: str
    metadata: Mapping[str, Any]
    expires_at: float


def bearer(header: str | None) -> str:
    """The token of an `Authorization` header.

    Raises:
        IdentityRefused: There is none.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise IdentityRefused(Refusal.NO_TOKEN)
    return token.strip()


class Identities:
    """Finds out whose a token is.

    Args:
        client: The API client; its user may create TokenReviews and get pods.
        audience: Whom tokens must be for.
    """

    def __init__(self, client: KubeClient, *, audience: str = AUDIENCE) -> None:
        self._client = client
        self._audience = audience
        self._room = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def identify(self, token: str) -> PodIdentity:
        """The pod whose token this is. Waits while many are judged; the caller sets the bound.

        Raises:
            IdentityRefused: It is not that of a living pod.
            IdentityUnknown: The API server could not be asked.
        """
        expires_at = self._glance(token)
        async with self._room:
            try:
                status = await self._review(token)
                pod = self._claimed(status, expires_at)
                return _confirmed(pod, await self._pod(pod))
            except KubeFailure as error:
                raise IdentityUnknown(str(error)) from error

    def _glance(self, token: str) -> float:
        # decides nothing: what the API server would refuse anyway does not cost it a review
        claims = _claims(token)
        audiences = claims.get("aud")
        if self._audience not in ([audiences] if isinstance(audiences, str) else audiences or ()):
            raise IdentityRefused(Refusal.WRONG_AUDIENCE)
        expires_at = claims.get("exp")
        if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or not 0 < expires_at < 2**53:
            raise IdentityRefused(Refusal.MALFORMED_TOKEN)
        return float(expires_at)

    async def _review(self, token: str) -> Mapping[str, Any]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        status: Mapping[str, Any] = (await self._client.create(_REVIEWS, body)).get("status") or {}
        return status

    def _claimed(self, status: Mapping[str, Any], expires_at: float) -> PodIdentity:
        if status.get("authenticated") is not True:
            raise IdentityRefused(Refusal.NOT_AUTHENTICATED)
        # an authenticator that knows no audiences would say yes to any token and name none
        if self._audience not in (status.get("audiences") or ()):
            raise IdentityRefused(Refusal.WRONG_AUDIENCE)
        user = status.get("user") or {}
        namespace, account = _service_account(str(user.get("username") or ""))
        extra = user.get("extra") or {}
        return PodIdentity(
            namespace=namespace,
            name=_only(extra.get(_POD_NAME)),
            uid=_only(extra.get(_POD_UID)),
            service_account=account,
            metadata={},  # not known yet
            expires_at=expires_at,
        )

    async def _pod(self, pod: PodIdentity) -> Mapping[str, Any]:
        try:
            found = await self._client.get(pods_path(pod.namespace, pod.name), accept=METADATA)
        except KubeError as error:
            if error.status == 404:
                raise IdentityRefused(Refusal.POD_NOT_FOUND) from None
            raise
        metadata: Mapping[str, Any] = found.get("metadata") or {}
        return metadata


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    payload = parts[1] if len(parts) == 3 and len(token) <= MAX_TOKEN_CHARACTERS else ""
    try:
        claims = json.loads(base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise IdentityRefused(Refusal.MALFORMED_TOKEN)
    return claims


def _service_account(username: str) -> tuple[str, str]:
    namespace, _, account = username.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if not username.startswith(_SERVICE_ACCOUNT) or not namespace or not account:
        raise IdentityRefused(Refusal.NOT_A_POD)
    return namespace, account


def _only(values: object) -> str:
    if not isinstance(values, list) or len(values) != 1 or not values[0]:
        raise IdentityRefused(Refusal.NOT_A_POD)
    return str(values[0])


def _confirmed(claimed: PodIdentity, metadata: Mapping[str, Any]) -> PodIdentity:
    if metadata.get("uid") != claimed.uid:
        raise IdentityRefused(Refusal.POD_REPLACED)
    if metadata.get("deletionTimestamp"):
        raise IdentityRefused(Refusal.POD_TERMINATING)
    # who manages which field is most of it, and is kept as long as the stream
    return replace(claimed, metadata={name: value for name, value in metadata.items() if name != "managedFields"})
