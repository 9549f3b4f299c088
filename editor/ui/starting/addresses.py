"""Which addresses mean this machine alone. Light, since the start asks before anything heavy is imported."""

import ipaddress


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`, a name or an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
