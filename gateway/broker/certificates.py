"""The broker's certificate for devices, and the authority of our own that signs it.

A board starts in the year 2000 and learns the time from the gateway, so both begin on 2000-01-01 (and end with 2049,
the last year of UTCTime: RFC 5280, 4.1.2.5.1). The certificate names the broker by one fixed name, and by
its host: a device checks the fixed one, so a broker that moves to another address needs no new certificate.
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.private_files import write_private
from sigap.problem import Problem

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca.key"
CERTIFICATE, KEY = "server.pem", "server.key"
NAME = "sigap-broker"
BEGIN, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key; DER is what devices read."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self._key(serialization.Encoding.PEM)

    @property
    def key_der(self) -> bytes:
        return self._key(serialization.Encoding.DER)

    def _key(self, encoding: serialization.Encoding) -> bytes:
        # SEC 1 (RFC 5915), which mbedTLS reads without PKCS#8.
        return self.key.private_bytes(
            encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )


def issue(
    name: str,
    by: Issued | None = None,
    *,
    hosts: tuple[str, ...] = (),
    client: bool = False,
    begin: datetime = BEGIN,
    end: datetime = END,
) -> Issued:
    """A certificate on P-256, signed by `by`: for a server that is `hosts`, or a client. Without `by`: an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = by.key if by else key
    usage = x509.KeyUsage(
        digital_signature=by is not None,
        key_cert_sign=by is None,
        crl_sign=by is None,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None if by else 0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if by:
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    return Issued(builder.sign(signer, hashes.SHA256()), key)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def ensure(folder: Path, host: str) -> None:
    """Have authority and certificate for `host` in `folder`. The authority is made once: devices carry it for good."""
    authority = _load(folder / AUTHORITY, folder / AUTHORITY_KEY)
    if authority is None:
        authority = issue("Sigap broker authority", hosts=())
        _store(folder / AUTHORITY, folder / AUTHORITY_KEY, authority)
    server = _load(folder / CERTIFICATE, folder / KEY)
    if server is None or not _fits(server, authority, host):
        server = issue(NAME, authority, hosts=(NAME, host))
        _store(folder / CERTIFICATE, folder / KEY, server)


def device_tls(folder: Path) -> dict[str, str]:
    """What a device's settings say under broker.tls: the authority as base64 of its DER, and the name to expect."""
    authority = _load(folder / AUTHORITY, folder / AUTHORITY_KEY)
    if authority is None:
        raise Problem(f"{folder / AUTHORITY} is missing", "Run `sigap broker --check`: it makes one")
    return {"ca": base64.b64encode(authority.der).decode(), "hostname": NAME}


def _fits(server: Issued, authority: Issued, host: str) -> bool:
    names = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        server.certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one is the answer
        return False
    return _host(host) in list(names)


def _load(certificate: Path, key: Path) -> Issued | None:
    """None when one of the files is missing. A Problem when they cannot be read: a new authority would lock devices
    out."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Problem(f"{certificate} or {key} cannot be read: {error}", "Restore both from your backup") from error
    if not isinstance(secret, ec.EllipticCurvePrivateKey) or secret.public_key() != found.public_key():
        raise Problem(f"{key} is not the key of {certificate}", "Restore both from your backup")
    return Issued(found, secret)


def _store(certificate: Path, key: Path, issued: Issued) -> None:
    """The key first: a certificate without its key counts as none."""
    write_private(key, issued.key_pem)
    write_private(certificate, issued.pem)
