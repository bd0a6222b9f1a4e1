"""Reports to the driver how many bytes a task has read, while the task runs.

Accumulators arrive when a task ends, which for a task of 1 GB is a minute later. A report is one datagram (UDP): where
a firewall drops it, progress lines count completed tasks only.
"""

import os
import socket
from contextlib import suppress
from functools import cache

ADDRESS = "SEMANTIC_PIVOTS_PROGRESS"
"""Environment variable of workers: ``host:port`` of the driver."""


def report_bytes_read(n_bytes: int) -> None:
    """Adds to the bytes that the driver knows of; does nothing where ``ADDRESS`` is not set."""
    if ADDRESS in os.environ and (driver := _connected(os.environ[ADDRESS])):
        with suppress(OSError):
            driver.send(str(n_bytes).encode())


@cache
def _connected(address: str) -> socket.socket | None:
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        driver = socket.socket(family, socket.SOCK_DGRAM)
        driver.connect(place)
        return driver
    return None
