"""Makes certificates: an authority of its own and what it signs. Nothing of it is kept here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["BACKDATE", "Pair", "made_authority", "made_leaf", "read_certificates", "read_pair"]

BACKDATE: Final = timedelta(minutes=5)
"""By which a certificate begins before it is made: the clocks of two nodes differ."""

_MAX_NAME_CHARACTERS: Final = 64  # of a common name (RFC 5280, ub-common-name)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key.

    Args:
        certificate: Signed by its authority, or by itself.
        key: Never log it.
    """

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey = field(repr=False, compare=False)

    @property
    def made_at(self) -> datetime:
        """When it was made."""
        return self.certificate.not_valid_before_utc + BACKDATE

    @property
    def ends_at(self) -> datetime:
        """When it ends."""
        return self.certificate.not_valid_after_utc

    @property
    def names(self) -> frozenset[str]:
        """The hosts that it is for."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, ValueError):
            return frozenset()
        return frozenset(found.get_values_for_type(x509.DNSName))

    def is_signed_by(self, authority: "Pair") -> bool:
        """Whether that authority signed it."""
        try:
            self.certificate.verify_directly_issued_by(authority.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def certificate_pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    def key_pem(self) -> str:
        """The key, not encrypted; never log it."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def made_authority(now: datetime, life: timedelta) -> Pair:
    """A new authority, which signs itself.

    Args:
        now: With a time zone.
        life: How long it is good.
    """
    key, serial = generate_private_key(SECP256R1()), x509.random_serial_number()
    # each has a name of its own: who verifies need not try two keys
    name = _name(f"speechpool-ca-{serial:x}")
    usage = _usage(signs_certificates=True)
    builder = _builder(now, life, serial, key).subject_name(name).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def made_leaf(authority: Pair, names: Sequence[str], now: datetime, life: timedelta) -> Pair:
    """A new certificate for a server.

    Args:
        authority: Who signs.
        names: The hosts that it is for, at least one.
        now: With a time zone.
        life: How long it is good; never longer than its authority.
    """
    key, serial = generate_private_key(SECP256R1()), x509.random_serial_number()
    builder = _builder(now, min(life, authority.ends_at - now), serial, key)
    builder = builder.subject_name(_name(names[0])).issuer_name(authority.certificate.subject)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
        (signer, False),
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def read_pair(certificate: str, key: str) -> Pair | None:
    """A certificate and its key from PEM; None where they cannot be read or do not belong together."""
    try:
        read, private = x509.load_pem_x509_certificate(certificate.encode()), load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(private, EllipticCurvePrivateKey) or read.public_key() != private.public_key():
        return None
    return Pair(read, private)


def read_certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """Every certificate of a text; none where it cannot be read."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        return ()


def _builder(now: datetime, life: timedelta, serial: int, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    begins, ends = now.astimezone(UTC) - BACKDATE, now.astimezone(UTC) + life
    builder = x509.CertificateBuilder().serial_number(serial).not_valid_before(begins).not_valid_after(ends)
    public = key.public_key()
    return builder.public_key(public).add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_MAX_NAME_CHARACTERS])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
