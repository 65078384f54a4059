"""The cluster's certificate authority: gives each node a short-lived certificate.

EC P-256 keys, X.509 v3 by RFC 5280. A node makes its own key and asks with a request
(RFC 2986); whoever holds the CA's key can join the cluster's links.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from actors.link_tls import Credentials
from reception.errors import InvalidRequest

CA_LIFE = timedelta(days=365)
NODE_LIFE = timedelta(days=1)
CLOCK_SKEW = timedelta(minutes=5)  # between nodes: certificates are valid that much earlier
_NODE_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class ClusterCa:
    """Issues certificates; see `create` and `load`."""

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
    def load(cls, certificate_pem: bytes, key_pem: bytes, password: bytes = b"") -> ClusterCa:
        """The CA whose certificate and key these are.

        Raises:
            InvalidRequest: they are no such thing, or the password is another one.
        """
        try:
            key = serialization.load_pem_private_key(key_pem, password or None)
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"the cluster's CA can't be read: {error}", field="ca") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise InvalidRequest("the cluster's CA has no EC key", field="ca")
        return cls(key, certificate)

    def key_pem(self, password: bytes = b"") -> bytes:
        """Its key, encrypted if there is a password."""
        return _private_pem(self._key, password)

    @property
    def ca_pem(self) -> bytes:
        """The CA's own certificate, which every node must know."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self,
        node_id: str,
        request_pem: bytes,
        life: timedelta = NODE_LIFE,
        now: datetime | None = None,
    ) -> bytes:
        """A certificate for the key of a request, with the node's id as subject
        alternative name; nothing else of the request is believed.

        Raises:
            InvalidRequest: `node_id` is not 1 to 64 letters, digits, `.`, `_`, `-`, or
                it is no request by whoever has the key.
        """
        _check(node_id)
        try:
            request = x509.load_pem_x509_csr(request_pem)
        except ValueError as error:
            text = f"request_pem is no certificate request: {error}"
            raise InvalidRequest(text, field="request_pem") from error
        key = request.public_key()
        if not (isinstance(key, ec.EllipticCurvePublicKey) and request.is_signature_valid):
            raise InvalidRequest("request_pem is not signed by an EC key", field="request_pem")
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer = self._certificate.subject
        certificate = (
            _builder(_named(node_id), issuer, key, now or datetime.now(UTC), life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(node_id)]), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, node_id: str, life: timedelta = NODE_LIFE, now: datetime | None = None
    ) -> Credentials:
        """A new key and its certificate, where node and CA are in one process.

        Raises:
            InvalidRequest: as `sign`.
        """
        wanted = Request.make(node_id)
        return wanted.granted(self.sign(node_id, wanted.pem, life, now), self.ca_pem)


@dataclass(frozen=True, slots=True)
class Request:
    """A node's new key, which never leaves it, and its wish for a certificate."""

    pem: bytes
    _key_pem: bytes = field(repr=False)

    @classmethod
    def make(cls, node_id: str) -> Request:
        """Raises InvalidRequest as `ClusterCa.sign`."""
        _check(node_id)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateSigningRequestBuilder().subject_name(_named(node_id))
        request = builder.sign(key, hashes.SHA256())
        return cls(request.public_bytes(serialization.Encoding.PEM), _private_pem(key))

    def granted(self, certificate_pem: bytes, ca_pem: bytes) -> Credentials:
        """What the node shows from now on."""
        return Credentials(certificate_pem, self._key_pem, ca_pem)


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


def _private_pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def _check(node_id: str) -> None:
    if not _NODE_ID.fullmatch(node_id):
        raise InvalidRequest(
            f"node_id {node_id!r} is not 1 to 64 letters, digits, '.', '_', '-'", field="node_id"
        )
