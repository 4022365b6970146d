"""TypeScript on node: generating the types of schema "api" and compiling what uses them.

`python -m tests.clients.node` (`make types`) writes deploy/typescript/schema.ts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.left_out import NO_NODE

CLIENTS = Path(__file__).parent
MODULES = CLIENTS / "node_modules"
TYPES = CLIENTS.parents[1] / "deploy" / "typescript"
SCHEMA = TYPES / "schema.ts"
ENVELOPES = TYPES / "envelopes.ts"


COMPILER_OPTIONS = {
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "types": ["node"],
    "skipLibCheck": True,
}

LIBPQ_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
}


def need_node() -> None:
    """Skips the test where there is no npm; where there is, the packages must be installed."""
    if shutil.which("npm") is None:
        pytest.skip(NO_NODE)
    assert MODULES.is_dir(), "run: npm ci --prefix tests/clients"


def generated_types(database_url: str) -> str:
    """What the generator says of schema "api" of that database."""
    return run(CLIENTS, "generate.mjs", **libpq_variables(database_url))


def libpq_variables(database_url: str) -> dict[str, str]:
    """The environment in which libpq, and what imitates it, connects to that database."""
    settings = conninfo_to_dict(database_url)
    return {name: str(settings[key]) for key, name in LIBPQ_VARIABLES.items() if key in settings}


def run(folder: Path, *arguments: str, **variables: str) -> str:
    """What a program prints that node runs in that folder; it must succeed."""
    result = subprocess.run(
        ["node", *arguments],  # noqa: S607
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def errors(folder: Path, **files: str) -> str:
    """What the compiler says of these files (name=text) beside the types; leaves JavaScript."""
    for path in TYPES.glob("*.ts"):
        shutil.copy(path, folder)
    for name, text in files.items():
        (folder / f"{name}.ts").write_text(text)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(MODULES, target_is_directory=True)
        (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER_OPTIONS}))
    compiler = MODULES / "typescript" / "bin" / "tsc"
    result = subprocess.run(
        ["node", str(compiler), "--pretty", "false"],  # noqa: S607
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode != 0) == bool(result.stdout), result.stderr
    return result.stdout


if __name__ == "__main__":
    from tests.postgres import running_server, template_database

    with running_server() as server, template_database(server):
        SCHEMA.write_text(generated_types(server.url_of(server.template)))
