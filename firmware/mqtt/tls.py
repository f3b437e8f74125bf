"""An SSLContext that trusts one certificate authority and nobody else. Needed once, at the start: unload it then.

Everything is DER, because MicroPython's mbedTLS is often built without PEM. Both ends' names and dates are checked;
for a board without a clock see README.md.
"""

import ssl


def context(ca, certificate=None, key=None):
    """A client's context. ca, certificate, key: DER bytes; the last two when the broker wants a client certificate.

    ValueError when one of them cannot be read. Under CPython, which wants certificate and key as files, they stay out.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=ca)
    if certificate:
        made.load_cert_chain(certificate, key)
    return made
