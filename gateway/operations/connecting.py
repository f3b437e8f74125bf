"""One connection to where a backend is, to see that there is somebody; nothing is sent but TLS's own greeting."""

from __future__ import annotations

import socket
import ssl

from gateway.backend_settings import Reach


def connect(reach: Reach, limit_s: float) -> tuple[str, str | None]:
    """(the address that answers, the TLS version or None) by TCP; OSError when it cannot be reached or trusted."""
    with socket.create_connection((reach.host, reach.port), limit_s) as plain:
        address = plain.getpeername()[0]
        if not reach.secure:
            return address, None
        context = ssl.create_default_context(cafile=reach.ca_file or None)
        with context.wrap_socket(plain, server_hostname=reach.host) as line:
            return address, line.version()
