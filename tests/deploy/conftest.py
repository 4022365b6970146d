"""nginx with the shipped configuration, before an upstream that records."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.edge import Edge, Upstream, running_edge
from tests.http.conftest import postgrest, shop
from tests.left_out import NO_NGINX

__all__ = ["postgrest", "shop"]


@pytest.fixture(scope="session")
def nginx() -> str:
    """The path of nginx."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not found:
        pytest.skip(NO_NGINX)
    return found


@pytest.fixture
def upstream() -> Upstream:
    """What stands behind `edge`."""
    return Upstream()


@pytest.fixture
def edge(nginx: str, upstream: Upstream, tmp_path: Path) -> Iterator[Edge]:
    """A new nginx, which has counted nothing and keeps nothing."""
    with upstream.running() as address, running_edge(nginx, tmp_path, address) as edge:
        yield edge


@pytest.fixture
def edge_behind_a_proxy(nginx: str, upstream: Upstream, tmp_path: Path) -> Iterator[Edge]:
    """The same, told to believe what the proxy at 127.0.0.1 says of addresses."""
    with (
        upstream.running() as address,
        running_edge(nginx, tmp_path, address, proxy="127.0.0.1") as edge,
    ):
        yield edge
