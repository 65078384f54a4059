"""The cluster's certificate authority: gives each node a short-lived certificate.

EC P-256 keys, X.509 v3 by RFC 5280. The CA lives in memory, or in a folder that
only its user can read; whoever holds its key can join the cluster's links.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from actors.link_tls import CA_FILE, Credentials, write_private
from reception.errors import InvalidRequest

CA_KEY_FILE = "ca.key"
CA_LIFE = timedelta(days=365)
NODE_LIFE = timedelta(days=1)
CLOCK_SKEW = timedelta(minutes=5)  # between nodes: certificates are valid that much earlier
_NODE_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class ClusterCa:
    """Issues certificates; see `create` and `open`."""

    _key: ec.EllipticCurvePrivateKey
    _certificate: x509.Certificate

    @classmethod
    def create(cls, now: datetime | None = None) -> ClusterCa:
        """A new CA in memory."""
        now = now or datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _named("ai-reception cluster CA")
        certificate = (
            _builder(name, name, key.public_key(), now, CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def open(cls, folder: Path) -> ClusterCa:
        """The CA kept in `folder`; makes it there when there is none."""
        if not (folder / CA_KEY_FILE).exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = cls.create()
            write_private(folder / CA_FILE, made.ca_pem)
            write_private(folder / CA_KEY_FILE, _private_pem(made._key))
            return made
        key = serialization.load_pem_private_key((folder / CA_KEY_FILE).read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise InvalidRequest(f"{folder / CA_KEY_FILE} holds no EC key", field="ca")
        return cls(key, x509.load_pem_x509_certificate((folder / CA_FILE).read_bytes()))

    @property
    def ca_pem(self) -> bytes:
        """The CA's own certificate, which every node must know."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, node_id: str, life: timedelta = NODE_LIFE, now: datetime | None = None
    ) -> Credentials:
        """A certificate for a node, with its id as subject alternative name.

        Raises:
            InvalidRequest: `node_id` is not 1 to 64 letters, digits, `.`, `_`, `-`.
        """
        if not _NODE_ID.fullmatch(node_id):
            raise InvalidRequest(
                f"node_id {node_id!r} is not 1 to 64 letters, digits, '.', '_', '-'",
                field="node_id",
            )
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate.subject
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(_named(node_id), issuer, key.public_key(), now or datetime.now(UTC), life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(node_id)]), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return Credentials(pem, _private_pem(key), self.ca_pem)


def renew_after_s(credentials: Credentials, now: datetime | None = None) -> float:
    """Seconds until two thirds of a certificate's life are over: renew it then."""
    certificate = x509.load_pem_x509_certificate(credentials.certificate_pem)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    due = begin + (end - begin) * 2 / 3
    return max(0.0, (due - (now or datetime.now(UTC))).total_seconds())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
