"""The cluster's certificate authority, by what OpenSSL and `cryptography` make of it."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.verification import PolicyBuilder, Store

from actors.cluster_ca import CLOCK_SKEW, ClusterCa, Request, renew_after_s
from actors.link_tls import NodeTls
from reception.errors import InvalidRequest

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_node_certificate_chains_to_the_ca_by_the_rules_of_the_web():
    ca = ClusterCa.create(NOW)
    issued = x509.load_pem_x509_certificate(ca.issue("node-1", now=NOW).certificate_pem)
    store = Store([x509.load_pem_x509_certificate(ca.ca_pem)])
    builder = PolicyBuilder().store(store).time(NOW)
    builder.build_server_verifier(x509.DNSName("node-1")).verify(issued, [])
    assert builder.build_client_verifier().verify(issued, []).subjects == [x509.DNSName("node-1")]
    key = issued.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    stranger = Store([x509.load_pem_x509_certificate(ClusterCa.create(NOW).ca_pem)])
    with pytest.raises(x509.verification.VerificationError):
        PolicyBuilder().store(stranger).time(NOW).build_client_verifier().verify(issued, [])


def test_certificates_are_short_lived_and_renewed_in_time():
    ca = ClusterCa.create(NOW)
    credentials = ca.issue("node-1", timedelta(hours=3), NOW)
    issued = x509.load_pem_x509_certificate(credentials.certificate_pem)
    assert issued.not_valid_before_utc == NOW - CLOCK_SKEW
    assert issued.not_valid_after_utc == NOW + timedelta(hours=3)
    due_s = renew_after_s(credentials, NOW)
    assert 1.9 * 3600 < due_s < 2.0 * 3600
    assert renew_after_s(credentials, NOW + timedelta(hours=2)) == 0.0
    assert 0 < renew_after_s(ClusterCa.create().issue("n")) < 86_400


@pytest.mark.parametrize("node_id", ["", "a b", "-a", "a.", "a" * 65, "ä", "a\n"])
def test_a_bad_node_id_gets_no_certificate(node_id):
    with pytest.raises(InvalidRequest) as caught:
        ClusterCa.create().issue(node_id)
    assert caught.value.field == "node_id"


def test_a_node_keeps_its_key_and_gets_a_certificate_for_it():
    ca, wanted = ClusterCa.create(), Request.make("node-1")
    assert b"PRIVATE" not in wanted.pem
    assert "PRIVATE" not in repr(wanted)
    credentials = wanted.granted(ca.sign("node-1", wanted.pem), ca.ca_pem)
    assert "PRIVATE" not in repr(credentials)
    NodeTls(credentials)  # key and certificate belong together
    with pytest.raises(ssl.SSLError, match="mismatch"):
        NodeTls(Request.make("node-1").granted(credentials.certificate_pem, ca.ca_pem))


def test_the_name_is_the_signers_choice_and_not_the_requests():
    ca = ClusterCa.create()
    pem = ca.sign("node-1", Request.make("somebody-else").pem)
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node-1"]
    assert certificate.subject.rfc4514_string() == "CN=node-1"


def _request(key: Any) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def _forged() -> bytes:
    """Somebody else's signature under it."""
    good = x509.load_pem_x509_csr(Request.make("n").pem)
    der = bytearray(good.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "make",
    [lambda: b"", lambda: b"-----BEGIN", lambda: _request(Ed25519PrivateKey.generate()), _forged],
)
def test_what_is_no_request_by_an_ec_key_is_refused(make):
    with pytest.raises(InvalidRequest) as caught:
        ClusterCa.create().sign("n", make())
    assert caught.value.field == "request_pem"


@pytest.mark.parametrize("password", [b"", b"a pepper of thirty-two characters"])
def test_a_ca_is_kept_and_loaded_again(password):
    made = ClusterCa.create()
    assert (b"ENCRYPTED" in made.key_pem(password)) == bool(password)
    loaded = ClusterCa.load(made.ca_pem, made.key_pem(password), password)
    assert loaded.ca_pem == made.ca_pem
    wanted = Request.make("n")
    NodeTls(wanted.granted(loaded.sign("n", wanted.pem), made.ca_pem))


def test_a_ca_that_cannot_be_read_is_refused():
    made = ClusterCa.create()
    other = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for key_pem, password in (
        (made.key_pem(b"right"), b"wrong"),
        (made.key_pem(b"right"), b""),
        (other, b""),
        (b"nonsense", b""),
    ):
        with pytest.raises(InvalidRequest, match="the cluster's CA") as caught:
            ClusterCa.load(made.ca_pem, key_pem, password)
        assert caught.value.field == "ca"
