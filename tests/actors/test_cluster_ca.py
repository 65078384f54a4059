"""The cluster's certificate authority, by what OpenSSL and `cryptography` make of it."""

import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from actors.cluster_ca import CLOCK_SKEW, ClusterCa, renew_after_s
from actors.link_tls import Credentials, NodeTls
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


def test_a_ca_in_a_folder_stays_the_same_and_is_private(tmp_path):
    folder = tmp_path / "pki" / "ca"
    made, opened = ClusterCa.open(folder), ClusterCa.open(folder)
    assert made.ca_pem == opened.ca_pem
    NodeTls(opened.issue("n"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert {file.name for file in folder.iterdir()} == {"ca.pem", "ca.key"}


def test_a_folder_with_another_kind_of_key_is_refused(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    ClusterCa.open(tmp_path)
    (tmp_path / "ca.key").write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(InvalidRequest, match="holds no EC key"):
        ClusterCa.open(tmp_path)


def test_a_nodes_credentials_are_kept_private_and_never_shown(tmp_path):
    credentials = ClusterCa.create().issue("n")
    credentials.save(tmp_path / "node")
    assert Credentials.load(tmp_path / "node") == credentials
    assert "PRIVATE" not in repr(credentials)
    files = list((tmp_path / "node").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "node.pem").mkdir()  # in the way
    with pytest.raises(OSError, match=r"node\.pem"):
        ClusterCa.create().issue("n").save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["node.pem"]
