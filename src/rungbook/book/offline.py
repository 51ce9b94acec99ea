"""No network while lessons are executed and tests run: what they show must come with rungbook."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any


class Offline(RuntimeError):
    """Something tried to reach another machine where it must not."""


def is_local(host: Any) -> bool:
    """Whether an address is this machine's own loopback."""
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: Python reports every connection and every name look-up to it, whichever library makes it."""
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if isinstance(address, tuple) and not is_local(address[0]):
            raise Offline(f"{event} {address}: there is no network here")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not is_local(args[0]):
        raise Offline(f"{event} {args[0]}: there is no network here")


def go_offline() -> None:
    """Refuse every connection to another machine from now on; it cannot be taken back in this process."""
    sys.addaudithook(_refuse)


__all__ = ["Offline", "go_offline", "is_local"]
