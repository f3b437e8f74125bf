"""The TLS listener: an authority that is made once, a certificate that follows the host, and what devices get."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from cryptography import x509

from gateway.broker.certificates import NAME, device_tls, ensure
from gateway.broker.files import write_broker_files
from gateway.settings import BrokerSettings
from sigap.problem import Problem

PASSWORD = "a long enough password"


def names(folder: Path) -> list[str]:
    server = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(each.value) for each in found]


def test_without_a_port_there_is_none(tmp_path: Path) -> None:
    config = write_broker_files(tmp_path, BrokerSettings(password=PASSWORD), []).read_text()
    assert "certfile" not in config
    assert not list(tmp_path.glob("*.pem"))
    with pytest.raises(Problem, match=r"ca\.pem is missing"):
        device_tls(tmp_path)


def test_the_listener_and_its_certificate(tmp_path: Path) -> None:
    broker = BrokerSettings(password=PASSWORD, tls_port=8883, device_host="10.0.0.5")
    config = write_broker_files(tmp_path, broker, []).read_text()
    plain, tls = config.split("listener 8883 127.0.0.1")
    # Without it on both, a device could end another's connection by using its client id.
    assert all("use_username_as_clientid true" in part.split("\n\n")[0] for part in (plain.split("listener")[1], tls))
    assert f"certfile {tmp_path}/server.pem" in tls
    assert names(tmp_path) == [NAME, "10.0.0.5"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir() if path.name != ".lock")
    authority = x509.load_der_x509_certificate(base64.b64decode(device_tls(tmp_path)["ca"]))
    assert authority.not_valid_before_utc.year == 2000
    assert authority.not_valid_after_utc.year == 2049
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    server.verify_directly_issued_by(authority)


def test_the_authority_stays_when_the_host_changes(tmp_path: Path) -> None:
    ensure(tmp_path, "10.0.0.5")
    before = device_tls(tmp_path)
    ensure(tmp_path, "broker.example.org")
    assert device_tls(tmp_path) == before
    assert names(tmp_path) == [NAME, "broker.example.org"]
    (tmp_path / "server.pem").unlink()
    ensure(tmp_path, "broker.example.org")
    assert device_tls(tmp_path) == before


def test_a_spoiled_authority_is_never_replaced(tmp_path: Path) -> None:
    # A new one would lock out every device that trusts the old one.
    ensure(tmp_path, "10.0.0.5")
    (tmp_path / "ca.key").write_text("spoiled")
    with pytest.raises(Problem, match="cannot be read"):
        ensure(tmp_path, "10.0.0.5")
