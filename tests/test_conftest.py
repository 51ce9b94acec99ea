"""The guards of conftest.py guard."""

from __future__ import annotations

import os
import socket
import urllib.request

import pytest
import torch


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80)])  # addresses reserved for documentation
def test_other_machines_are_out_of_reach(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as s, pytest.raises(RuntimeError, match="no network"):
        s.connect(address)
    with socket.socket(family, socket.SOCK_DGRAM) as s, pytest.raises(RuntimeError, match="no network"):
        s.sendto(b"x", address)


def test_names_are_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match="no network"):
        urllib.request.urlopen("http://example.org/", timeout=5)


def test_this_machine_is_in_reach() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as client,
    ):
        assert client.getpeername()[1] == server.getsockname()[1]


def test_one_thread_and_own_folders(checkout) -> None:
    assert torch.get_num_threads() == 1
    for variable in ("RUNG_RUNS", "RUNG_CACHE"):
        assert not os.environ[variable].startswith(str(checkout))
