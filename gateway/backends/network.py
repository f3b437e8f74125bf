"""Which addresses a backend may have: a URL must not become a way into the gateway's own network."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL


class PrivateAddress(OSError):
    """The backend's name leads to an address that is not public."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    ip = ipaddress.ip_address(address.split("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_global


def check_literal(url: str) -> None:
    """Raise PrivateAddress when the URL's host is itself a private address (a resolver never sees those)."""
    host = URL(url).host or ""
    try:
        public = is_public(host)
    except ValueError:
        return  # a name: the resolver judges what it leads to
    if not public:
        raise PrivateAddress(f"{host} is not a public address")


class PublicOnly(AbstractResolver):
    """Resolves names, and refuses those that lead to anything but public addresses.

    The connection is made to the very addresses that were judged, so a name that answers differently the
    second time gains nothing.
    """

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            if not is_public(each["host"]):
                raise PrivateAddress(f"{host} leads to {each['host']}, which is not a public address")
        return found

    async def close(self) -> None:
        await self._resolver.close()
