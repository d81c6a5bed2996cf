"""One endpoint of the settings with all that belongs to it: its credentials, and for each service its health."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from speechpool.errors import SpeechError
from speechpool.speech.azure.credentials import CredentialSource, FixedCredential
from speechpool.speech.azure.endpoint_options import CredentialOptions, EndpointOptions
from speechpool.speech.azure.endpoints import Endpoint
from speechpool.speech.azure.entra import EntraToken, TokenMaker
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.key_file import KeyFile
from speechpool.speech.azure.options import AzureOptions
from speechpool.speech.azure.places import Place
from speechpool.speech.azure.probe import Probe
from speechpool.speech.azure.requester import Requester
from speechpool.speech.azure.threads import SdkThreads

__all__ = ["Site", "make_sites"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One endpoint of the settings.

    Args:
        place: Where it is.
        credentials: What it is shown; other endpoints may share them.
        probes: Asks it in plain HTTP, by what it serves.
        endpoints: Its health, by what it serves.
    """

    place: Place
    credentials: CredentialSource
    probes: Mapping[Work, Probe]
    endpoints: Mapping[Work, Endpoint]


def make_sites(
    options: AzureOptions, threads: SdkThreads, *, make_token: Callable[[], TokenMaker], rng: random.Random
) -> tuple[Site, ...]:
    """A site for each endpoint of the options; endpoints with the same credential share its source.

    Args:
        options: The engine's.
        threads: Where what blocks is called.
        make_token: Makes azure-identity's credential.
        rng: Source of the jitter.
    """
    requester = Requester(options.connect_timeout_seconds, proxy=options.proxy, properties=options.properties)
    sources: dict[tuple[CredentialOptions, str], CredentialSource] = {}

    sites = []
    for each in options.endpoints:
        key = (each.credential, each.place.cloud)
        if key not in sources:
            sources[key] = _source(each.credential, each.place, threads, make_token)
        probes = {
            work: Probe(
                each.place,
                work,
                sources[key],
                threads,
                requester,
                timeout_seconds=options.connect_timeout_seconds,
            )
            for work in Work
            if work in each.works
        }
        sites.append(_site(each, sources[key], probes, rng))
    return tuple(sites)


def _source(
    credential: CredentialOptions, place: Place, threads: SdkThreads, make_token: Callable[[], TokenMaker]
) -> CredentialSource:
    if credential.key_file is not None:
        return KeyFile(credential.setting, credential.key_file, threads)
    if credential.resource_id is not None:
        return EntraToken(credential.setting, credential.resource_id, threads, domain=place.cloud, make=make_token)
    return FixedCredential(credential.setting, credential.key)


def _site(
    each: EndpointOptions, credentials: CredentialSource, probes: Mapping[Work, Probe], rng: random.Random
) -> Site:
    async def explain(endpoint: Endpoint) -> SpeechError:
        return await probes[endpoint.work].why()

    endpoints = {
        work: Endpoint(
            each.place, work, credentials, weight=each.weight, clock=time.monotonic, rng=rng, explain=explain
        )
        for work in probes
    }
    return Site(place=each.place, credentials=credentials, probes=probes, endpoints=endpoints)
