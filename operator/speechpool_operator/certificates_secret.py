"""Certificates as one Secret holds them. Pure; whatever the Secret holds, nothing raises.

The Secret is made empty by who installs, and filled by who may. `ca.crt` and the two entries of a server are what
others mount; the keys of the authorities are for nobody else.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from speechpool_operator.certificates import Held
from speechpool_operator.certificates_made import Pair, read_certificates, read_pair
from speechpool_operator.names import CA_KEY

__all__ = ["read_held", "written"]

_AUTHORITY: Final = "ca-signing"
_FOLLOWING: Final = "ca-next"


def read_held(secret: Mapping[str, Any]) -> Held:
    """Read a Secret; what cannot be used is as if it were not there."""
    data = secret.get("data")
    texts = {str(name): _text(value) for name, value in data.items()} if isinstance(data, Mapping) else {}
    authority, following = _pair(texts, _AUTHORITY), _pair(texts, _FOLLOWING)
    signing = {one.certificate for one in (authority, following) if one}
    others = tuple(one for one in read_certificates(texts.get(CA_KEY, "")) if one not in signing)
    servers = [name.removesuffix(".crt") for name in texts if name.endswith(".crt")]
    leaves = {name: pair for name in servers if name not in _NO_SERVERS and (pair := _pair(texts, name))}
    return Held(authority=authority, following=following, retired=others, leaves=leaves)


def written(held: Held) -> dict[str, str]:
    """A Secret's `data`, in the form in which `read_held` reads it."""
    pairs = {_AUTHORITY: held.authority, _FOLLOWING: held.following, **held.leaves}
    texts = {CA_KEY: held.trusted_pem}
    for name, pair in pairs.items():
        if pair:
            texts |= {f"{name}.crt": pair.certificate_pem(), f"{name}.key": pair.key_pem()}
    return {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}


_NO_SERVERS: Final = {CA_KEY.removesuffix(".crt"), _AUTHORITY, _FOLLOWING}


def _pair(texts: Mapping[str, str], name: str) -> Pair | None:
    return read_pair(texts.get(f"{name}.crt", ""), texts.get(f"{name}.key", ""))


def _text(value: object) -> str:
    try:
        return base64.b64decode(str(value), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
