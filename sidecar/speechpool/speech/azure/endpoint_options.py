"""Which endpoints the settings name, and with which credentials each is used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechpool.errors import SettingsError
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.places import Place, place_of

__all__ = ["SECTION", "CredentialOptions", "EndpointOptions", "Problems", "read_endpoints"]

SECTION = "engines.azure"

MAX_ENDPOINTS = 16
"""More than there are regions near one place; a guess."""

RESOURCE_ID = re.compile(
    r"/subscriptions/[^/\s]{1,64}/resourceGroups/[^/\s]{1,90}/providers/Microsoft\.CognitiveServices/accounts/[^/\s#]{1,64}",
    re.IGNORECASE,
)


class Problems:
    """What is wrong with the options, one line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, expected: str, value: object) -> None:
        """Note that an option is not as expected; its value is shown, so never a secret's."""
        shown = repr(value)
        self.lines.append(f"{SECTION}.{name} must be {expected}; got {shown if len(shown) <= 80 else shown[:80] + '…'}")

    def finish(self) -> None:
        """Raise what was noted.

        Raises:
            SettingsError: There is something.
        """
        if self.lines:
            raise SettingsError("\n".join(self.lines), problems=tuple(self.lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialOptions:
    """What an endpoint is shown; at most one of the three, none for a container.

    Args:
        setting: The setting's name, for messages.
        key: The resource's key.
        key_file: Path of a file that holds it; watched.
        resource_id: The resource's id in Azure: tokens come from Microsoft Entra ID.
    """

    setting: str
    key: str | None = field(default=None, repr=False)
    key_file: str | None = None
    resource_id: str | None = None

    @property
    def is_none(self) -> bool:
        """Whether nothing is shown."""
        return self.key is None and self.key_file is None and self.resource_id is None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """One endpoint.

    Args:
        place: Where it is.
        credential: What it is shown.
        weight: Its share of the clients, 0 to 1000; 0 where it is used only when no other works.
        works: What it serves.
    """

    place: Place
    credential: CredentialOptions
    weight: int = 1
    works: frozenset[Work] = frozenset(Work)


def read_endpoints(
    options: Mapping[str, Any], environ: Mapping[str, str], problems: Problems
) -> tuple[EndpointOptions, ...]:
    """The endpoints of `endpoints`, or the one that `region` or `endpoint` names.

    Args:
        options: As `AzureOptions.parse` gets them.
        environ: Where the variables that `keyEnv` names are looked up.
        problems: Takes what is wrong.
    """
    shared = _credential(options, "", environ, problems)
    if (listed := options.get("endpoints")) is None:
        return _single(options, shared, problems)
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_ENDPOINTS:
        problems.add("endpoints", f"a list of 1 to {MAX_ENDPOINTS} mappings, each with region or endpoint", listed)
        return ()
    found = [_one(entry, f"endpoints[{index}]", shared, environ, problems) for index, entry in enumerate(listed)]
    endpoints = tuple(each for each in found if each)
    names = [(each.place.name, work) for each in endpoints for work in each.works]
    if len(names) != len(set(names)):
        problems.lines.append(f"{SECTION}.endpoints must differ from each other; one is there twice. Remove it")
    if endpoints and not any(each.weight for each in endpoints):
        problems.lines.append(f"{SECTION}.endpoints: at least one needs a weight above 0")
    return endpoints


def _single(
    options: Mapping[str, Any], credential: CredentialOptions, problems: Problems
) -> tuple[EndpointOptions, ...]:
    where, name = options.get("endpoint"), "endpoint (AZURE_SPEECH_ENDPOINT)"
    if where is None:
        where, name = options.get("region"), "region (AZURE_SPEECH_REGION)"
    if where is None:
        problems.lines.append(
            "the Azure engine needs a place to connect to: set AZURE_SPEECH_REGION or AZURE_SPEECH_ENDPOINT, or "
            f"{SECTION}.endpoints in the settings file"
        )
        return ()
    place = _place(where, name, options.get("paths"), problems)
    if place is None:
        return ()
    _check_credential(place, credential, "", problems)
    return (EndpointOptions(place=place, credential=credential),)


def _one(
    entry: object, path: str, shared: CredentialOptions, environ: Mapping[str, str], problems: Problems
) -> EndpointOptions | None:
    if not isinstance(entry, Mapping):
        problems.add(path, "a mapping with region or endpoint", entry)
        return None
    for name in entry:
        if name not in _ENTRY:
            problems.lines.append(f"{SECTION}.{path}.{name} is unknown; known are {', '.join(_ENTRY)}")
    if ("region" in entry) == ("endpoint" in entry):
        problems.lines.append(f"{SECTION}.{path} must have either region or endpoint")
        return None
    name = "region" if "region" in entry else "endpoint"
    place = _place(entry[name], f"{path}.{name}", entry.get("paths"), problems)
    own = _credential(entry, f"{path}.", environ, problems)
    credential = shared if own.is_none else own
    if place is not None:
        _check_credential(place, credential, f"{SECTION}.{path}: ", problems)
    weight, works = _weight(entry, path, problems), _works(entry, path, problems)
    return EndpointOptions(place=place, credential=credential, weight=weight, works=works) if place else None


_ENTRY = ("region", "endpoint", "weight", "serves", "paths", "keyFile", "keyEnv", "resourceId")
_PATHS = {"auto": None, "resource": False, "container": True}
_SERVES = {"both": frozenset(Work), **{str(work): frozenset({work}) for work in Work}}


def _place(where: object, name: str, paths: object, problems: Problems) -> Place | None:
    if paths is not None and str(paths) not in _PATHS:
        problems.add(f"{name.rpartition('.')[0]}.paths".lstrip("."), f"one of {', '.join(_PATHS)}", paths)
        return None
    wants_region = "region" in name.rpartition(".")[2]
    if not isinstance(where, str) or wants_region == ("://" in where):
        expected = "the name of a region, as westeurope" if wants_region else "a URL with ws, wss, http or https"
        problems.add(name, expected, where if isinstance(where, str) and "@" not in where else type(where).__name__)
        return None
    try:
        return place_of(where.strip(), container=_PATHS[str(paths)] if paths else None)
    except SettingsError as error:
        problems.lines.append(f"{SECTION}.{name} {error}")
        return None


def _credential(
    options: Mapping[str, Any], path: str, environ: Mapping[str, str], problems: Problems
) -> CredentialOptions:
    given = {
        name: options[name] for name in ("key", "keyFile", "keyEnv", "resourceId") if options.get(name) is not None
    }
    names = [_setting(path, name) for name in given]
    if len(given) > 1:
        problems.lines.append(f"{' and '.join(names)} are set, and only one can hold. Remove the others")
    if not given:
        return CredentialOptions(setting=_setting(path, "key"))
    name, value = next(iter(given.items()))
    setting = names[0]
    match name:
        case "key":
            return CredentialOptions(setting=setting, key=str(value))
        case "keyEnv":
            return CredentialOptions(setting=str(value), key=_key_of(value, setting, environ, problems))
        case "keyFile":
            if not isinstance(value, str) or not Path(value).is_absolute():
                problems.lines.append(f"{setting} must be an absolute path; got {value!r}")
            return CredentialOptions(setting=setting, key_file=str(value))
    if not isinstance(value, str) or not RESOURCE_ID.fullmatch(value):
        problems.lines.append(
            f"{setting} must be a resource id, as /subscriptions/…/resourceGroups/…/providers/"
            f"Microsoft.CognitiveServices/accounts/…; got {value!r}"
        )
    return CredentialOptions(setting=setting, resource_id=str(value))


def _setting(path: str, name: str) -> str:
    """The name under which its user set it."""
    return f"{SECTION}.{path}{name}" if path else _VARIABLES.get(name, f"{SECTION}.{name}")


_VARIABLES = {
    "key": "AZURE_SPEECH_KEY",
    "keyFile": "AZURE_SPEECH_KEY_FILE",
    "resourceId": "AZURE_SPEECH_RESOURCE_ID",
}


def _key_of(name: object, setting: str, environ: Mapping[str, str], problems: Problems) -> str | None:
    key = environ.get(name, "").strip() if isinstance(name, str) else ""
    if not re.fullmatch(r"[!-~]{8,512}", key):
        problems.lines.append(
            f"{setting} must name a variable that holds a key (8 to 512 printable ASCII characters without spaces); "
            f"{name!r} does not"
        )
        return None
    return key


def _check_credential(place: Place, credential: CredentialOptions, path: str, problems: Problems) -> None:
    if place.region is not None and credential.is_none:
        problems.lines.append(
            f"{path}region {place.region} needs a credential: set AZURE_SPEECH_KEY, AZURE_SPEECH_KEY_FILE or "
            "AZURE_SPEECH_RESOURCE_ID"
        )


def _weight(entry: Mapping[str, Any], path: str, problems: Problems) -> int:
    weight = entry.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= 1000:
        problems.add(f"{path}.weight", "a whole number from 0 to 1000", weight)
        return 1
    return weight


def _works(entry: Mapping[str, Any], path: str, problems: Problems) -> frozenset[Work]:
    serves = entry.get("serves", "both")
    if str(serves) not in _SERVES:
        problems.add(f"{path}.serves", f"one of {', '.join(_SERVES)}", serves)
        return frozenset(Work)
    return _SERVES[str(serves)]
