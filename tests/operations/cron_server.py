"""A server of the test's own with pg_cron at work in its database "postgres"."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import postgres
from tests.left_out import NO_EXTENSION
from tests.postgres import Server


@contextlib.contextmanager
def cron_server(kind: str, *, uses_workers: bool = False) -> Iterator[Server]:
    """pg_cron logs in through the server's socket, or has background workers."""
    if not postgres.is_major(kind):
        pytest.skip(f"{NO_EXTENSION} pg_cron")
    with postgres.running_server(kind) as server:
        with psycopg.connect(server.url, autocommit=True) as db:
            [(folder, data, preloaded)] = db.execute(
                "select current_setting('unix_socket_directories'),"
                " current_setting('data_directory'), current_setting('shared_preload_libraries')"
            ).fetchall()
            if "pg_cron" not in preloaded:
                pytest.skip(f"{NO_EXTENSION} pg_cron")
            db.execute(f"alter system set cron.host = '{folder}'".encode())
            db.execute(f"alter system set cron.use_background_workers = {uses_workers}".encode())
        subprocess.run(
            [f"{server.binaries}/pg_ctl", "-D", data, "--wait", f"--log={folder}/log", "restart"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=Path(data).stat().st_uid if os.geteuid() == 0 else None,
            cwd=folder,
        )
        server.administer("create extension pg_cron")
        yield server
