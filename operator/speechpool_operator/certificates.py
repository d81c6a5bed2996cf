"""Which certificates there should be now, given those that there are. Pure but for the keys that are drawn.

An authority is replaced in steps, each as long as the slowest reader needs (the kubelet takes up to 90 s to bring a
volume's new content): first the new one is trusted beside the old one, then it signs, then the old one is forgotten. So
at each moment everybody trusts whoever signed what anybody serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from speechpool_operator.certificates_made import Pair, made_authority, made_leaf

__all__ = ["Held", "Terms", "planned"]

RENEW_AFTER: Final = 2 / 3
"""Part of its life after which a certificate is replaced, as cert-manager has it: a third is left to see failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is wanted.

    Args:
        hosts: By who serves: the hosts that its certificate is for.
        leaf_life: Of a server's certificate.
        authority_life: Of an authority.
        settle: How long a step of a replacement takes; at most a third of `leaf_life`.
    """

    hosts: Mapping[str, tuple[str, ...]]
    leaf_life: timedelta = timedelta(days=90)
    authority_life: timedelta = timedelta(days=730)
    settle: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What there is.

    Args:
        authority: Who signs now; None where there is none that can be used.
        following: Who will sign next, and is trusted already.
        retired: Who signed before, and is trusted still.
        leaves: The servers' certificates, by who serves.
    """

    authority: Pair | None = None
    following: Pair | None = None
    retired: tuple[x509.Certificate, ...] = ()
    leaves: Mapping[str, Pair] = field(default_factory=dict)

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """Whom to trust, who signs now first."""
        pairs = (one.certificate for one in (self.authority, self.following) if one)
        return (*pairs, *self.retired)

    @property
    def trusted_pem(self) -> str:
        """The same as a text."""
        return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in self.trusted)


def planned(held: Held, terms: Terms, now: datetime) -> Held:
    """What there should be now.

    Args:
        held: What there is.
        terms: What is wanted.
        now: With a time zone.
    """
    held = _with_authority(held, terms, now)
    held = _with_leaves(held, terms, now)
    return _without_retired(held, terms, now)


def _with_authority(held: Held, terms: Terms, now: datetime) -> Held:
    authority, following = held.authority, held.following
    if authority is None or authority.ends_at <= now:
        # nobody can wait: who signs anew is trusted as soon as its readers have it
        made = following or made_authority(now, terms.authority_life)
        return _promoted(held, made)
    if following and now >= following.made_at + terms.settle:
        return _promoted(held, following)
    if not following and _is_due(authority, now):
        return replace(held, following=made_authority(now, terms.authority_life))
    return held


def _promoted(held: Held, pair: Pair) -> Held:
    before = (held.authority.certificate,) if held.authority else ()
    return replace(held, authority=pair, following=None, retired=(*before, *held.retired))


def _with_leaves(held: Held, terms: Terms, now: datetime) -> Held:
    authority = held.authority
    assert authority, "there is one by now"
    leaves = {
        who: held.leaves[who]
        if who in held.leaves and _is_good(held.leaves[who], authority, hosts, now)
        else made_leaf(authority, hosts, now, terms.leaf_life)
        for who, hosts in terms.hosts.items()
    }
    return held if leaves == dict(held.leaves) else replace(held, leaves=leaves)


def _is_good(leaf: Pair, authority: Pair, hosts: tuple[str, ...], now: datetime) -> bool:
    return leaf.names == frozenset(hosts) and not _is_due(leaf, now) and leaf.is_signed_by(authority)


def _is_due(pair: Pair, now: datetime) -> bool:
    return now >= pair.made_at + (pair.ends_at - pair.made_at) * RENEW_AFTER


def _without_retired(held: Held, terms: Terms, now: datetime) -> Held:
    # the leaves were all made anew when who signed before retired
    is_settled = all(now >= leaf.made_at + terms.settle for leaf in held.leaves.values())
    kept = () if is_settled else tuple(one for one in held.retired if one.not_valid_after_utc > now)
    return held if kept == held.retired else replace(held, retired=kept)
