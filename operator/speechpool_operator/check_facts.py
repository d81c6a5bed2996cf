"""What `speechpool-operator check` looks at: the API server's answers, the certificate, the Service, the Lease."""

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from speechpool.errors import SettingsError
from speechpool.settings import Address
from speechpool_operator.commands.facts import Found, Json, Known, Unknown, found, or_none
from speechpool_operator.kube import KubeClient
from speechpool_operator.kube_list import all_of
from speechpool_operator.kube_paths import pools_path
from speechpool_operator.names import GROUP, PLURAL, VERSION
from speechpool_operator.rights import Right, forbidden, needed
from speechpool_operator.tls import Certificates

__all__ = ["Facts", "Serving", "Target", "gather", "served_certificate"]


RENEWAL_SECONDS: Final = 6.0
"""So long a Lease is looked at: its holder renews it every two seconds and a half, or it is on the way to lose it."""

DIAL_SECONDS: Final = 5.0

_NOT_A_TOKEN: Final = "speechpool-check"  # noqa: S105 -- that is the point of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be looked at.

    Args:
        namespace: The operator's own.
        served: The one that it serves; empty for all.
        lease: Of the election; empty without one.
        authority_map: The ConfigMap that tells sidecars who vouches for it; empty without one.
        host: The name that sidecars dial, and that the certificate must be for.
        certificate: The certificate's file.
        key: Its key's.
        authority: The file of who vouches for it.
        dial: Where to try what sidecars do; None to leave it.
    """

    namespace: str
    served: str
    lease: str
    authority_map: str
    host: str
    certificate: Path
    key: Path
    authority: Path
    dial: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A certificate, as a sidecar sees it.

    Args:
        not_after: When it ends, in seconds since 1970.
        problem: Why a sidecar would not believe it; empty where it would.
    """

    not_after: float
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was found.

    Args:
        target: What was looked at.
        server: The API server's URL.
        version: What `/version` answered.
        user: Who asks.
        needed: The rights that the operator needs, and whether this user has them.
        forbidden: Those that it must not have, likewise.
        definition: The CustomResourceDefinition; None where there is none.
        is_served: Whether SpeechPools can be asked for.
        reviews: What a TokenReview of something that is no token answered.
        certificate: The one in the files.
        is_renewed: Whether the Lease's holder renews it; its name, empty where it does not; None without a Lease.
        dialled: Whether the Service leads to an operator that sidecars would believe; the reason why not, or empty.
        pools: SpeechPools.
    """

    target: Target
    server: str
    version: Found[Json]
    user: Found[str]
    needed: Mapping[Right, Found[bool]]
    forbidden: Mapping[Right, Found[bool]]
    definition: Found[Json | None]
    is_served: Found[bool]
    reviews: Found[Json]
    certificate: Found[Serving]
    is_renewed: Found[str | None]
    dialled: Found[str]
    pools: Found[Sequence[Json]]


async def gather(client: KubeClient, target: Target) -> Facts:
    """Ask for all of it; nothing is changed in the cluster.

    Args:
        client: The API client, with the rights of whose operator it is.
        target: What to look at.
    """
    wanted = list(needed(
        namespace=target.namespace, served=target.served, lease=target.lease, authority_map=target.authority_map
    ))  # fmt: skip
    refused = list(forbidden(namespace=target.namespace, served=target.served))
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{GROUP}"
    async with asyncio.TaskGroup() as group:
        start = group.create_task
        version = start(found(client.get("/version")))
        user = start(found(_user(client)))
        rights = start(_rights(client, [*wanted, *refused]))
        defined = start(found(or_none(client.get(definition), None)))
        served = start(found(_is_served(client)))
        reviews = start(found(_review(client)))
        renewed = start(found(_holder(client, target)))
        dialled = start(_dialled(target))
        pools = start(found(all_of(client, pools_path(target.served))))
    return Facts(
        target=target,
        server=client.access.server,
        version=version.result(),
        user=user.result(),
        needed={right: rights.result()[right] for right in wanted},
        forbidden={right: rights.result()[right] for right in refused},
        definition=defined.result(),
        is_served=served.result(),
        reviews=reviews.result(),
        certificate=_certificate(target),
        is_renewed=renewed.result(),
        dialled=dialled.result(),
        pools=pools.result(),
    )


async def _user(client: KubeClient) -> str:
    answer = await client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    return str(answer["status"]["userInfo"]["username"])


async def _rights(client: KubeClient, rights: Iterable[Right]) -> dict[Right, Found[bool]]:
    # one after the other: an API server thinks of many at once as of too many
    return {right: await found(_may(client, right)) for right in rights}


async def _may(client: KubeClient, right: Right) -> bool:
    body = {"spec": {"resourceAttributes": right.as_attributes()}}
    answer = await client.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    return bool(answer["status"].get("allowed"))


async def _is_served(client: KubeClient) -> bool:
    answer = await or_none(client.get(f"/apis/{GROUP}/{VERSION}"), None)
    resources = {each["name"] for each in (answer or {}).get("resources") or ()}
    return {PLURAL, f"{PLURAL}/status"} <= resources


async def _review(client: KubeClient) -> Json:
    answer = await client.create(
        "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": _NOT_A_TOKEN, "audiences": ["speechpool"]}}
    )
    status: Json = answer["status"]
    return status


async def _holder(client: KubeClient, target: Target) -> str | None:
    """Who renews the Lease; empty for nobody, None where there is no Lease. Its times are compared with each other."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{target.namespace}/leases/{target.lease}"
    first = await or_none(client.get(path), None) if target.lease else None
    if first is None:
        return None
    give_up_at = asyncio.get_running_loop().time() + RENEWAL_SECONDS
    while asyncio.get_running_loop().time() < give_up_at:
        await asyncio.sleep(RENEWAL_SECONDS / 10)
        now = await or_none(client.get(path), None) or {}
        holder = str((now.get("spec") or {}).get("holderIdentity") or "")
        if holder and now["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]:
            return holder
    return ""


# --- what sidecars connect to ----------------------------------------------------------------------------------------


def _certificate(target: Target) -> Found[Serving]:
    try:
        found = Certificates(target.certificate, target.key).current
        problem = served_certificate(found.context, _trust(target), target.host)
    except (SettingsError, OSError) as error:
        return Unknown(str(error))
    return Known(Serving(not_after=found.not_after, problem=problem))


def _trust(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.authority)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as sidecars do: whom the file names is enough
    return context


def served_certificate(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> str:
    """Let two ends speak with each other without a network.

    Args:
        server: With the certificate.
        client: With who is believed.
        host: The name that is dialled.

    Returns:
        Why the client would not believe the server; empty where it would.
    """
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(downward, upward, server_hostname=host),
        server.wrap_bio(upward, downward, server_side=True),
    ]
    for _ in range(4):  # TLS 1.3 takes two turns of each
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            except ssl.SSLError as error:
                return error.reason or type(error).__name__
    return ""


async def _dialled(target: Target) -> Found[str]:
    if target.dial is None:
        return Unknown("this is no pod of the cluster, whose Services only its pods can dial")
    try:
        trust = _trust(target)
    except OSError as error:
        return Unknown(f"{target.authority}: {error.strerror}")
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            _, writer = await asyncio.open_connection(
                target.dial.host, target.dial.port, ssl=trust, server_hostname=target.host
            )
    except TimeoutError:
        return Known(f"no answer within {DIAL_SECONDS:g} s")
    except ssl.SSLCertVerificationError as error:
        return Known(f"its certificate is not believed: {error.verify_message}")
    except OSError as error:
        return Known(error.strerror or str(error))
    writer.transport.abort()
    return Known("")
