"""The tests on PostgreSQL 15 to 18, each version in a container of its own: `make test-containers`.

PGBOOKING_CONTAINERS   which versions, "15 17"; all of them without it

Arguments go to pytest, variables PGBOOKING_* to the tests. A version whose image cannot be built is
left out, which counts as a failure. The HTTP suite runs where the image of PostgREST can be had.
Images are kept, as pgbooking-tests:<version>: the next run need not build them again.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.image import DockerImage

PROJECT = Path(__file__).parents[2]

# Each version on a Debian that has it itself; 16, which none has, is of PostgreSQL's repository.
DEBIAN = {"15": "bookworm", "16": "trixie", "17": "trixie", "18": "forky"}

# The SQL is the same everywhere: as many random calendars and histories as `make test` runs on its
# second server.
SIZES = {"PGBOOKING_CASES": "250", "PGBOOKING_SEQUENCES": "40", "PGBOOKING_LISTINGS": "40"}


def main() -> int:
    """Run what was asked for, print a closing line for each version; 0 where all of it passed."""
    asked_for = os.environ.get("PGBOOKING_CONTAINERS", "").split() or list(DEBIAN)
    if unknown := " ".join(set(asked_for) - set(DEBIAN)):
        print(f"PGBOOKING_CONTAINERS: there is no version {unknown}, only {' '.join(DEBIAN)}.")
        return 2
    # Who starts a container removes it, also after SIGTERM. The reaper would be one more image.
    testcontainers_config.ryuk_disabled = True
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        no_postgrest = why_not_to_be_had(postgrest_image())
    except DockerException as error:
        print(f"No container engine answers: {error}")
        return 3

    closing_lines, failed = [], False
    for version in asked_for:
        try:
            status, closing_line = run(version, with_postgrest=no_postgrest is None)
        except (APIError, BuildError) as error:
            log = error.build_log if isinstance(error, BuildError) else []
            print(*(entry.get("stream", "") for entry in log), error, sep="", flush=True)
            status, closing_line = 1, "left out, its image cannot be built: see above"
        failed = failed or status != 0
        closing_lines.append(f"PostgreSQL {version}: {closing_line}")
    if no_postgrest:
        closing_lines.append(f"The HTTP suite was left out: {no_postgrest}")
    print("", *closing_lines, sep="\n")
    return int(failed)


def postgrest_image() -> str:
    """The PostgREST that we deploy."""
    found = re.search(r"postgrest/postgrest:\S+", (PROJECT / "deploy" / "compose.yaml").read_text())
    assert found
    return found[0]


def why_not_to_be_had(image: str) -> str | None:
    """None where the image is here or could be fetched."""
    images = DockerClient().client.images
    try:
        images.get(image)
    except ImageNotFound:
        try:
            images.pull(image)
        except APIError as error:
            return f"{image} cannot be had: {error.explanation}"
    return None


def run(version: str, *, with_postgrest: bool) -> tuple[int, str]:
    """Build the image, run pytest in it; returns its exit status and its last line.

    The image is built with the host's network, and the tests need none: an engine without a bridge
    of its own will do.
    """
    print(f"\n== PostgreSQL {version}: its image", flush=True)
    image = DockerImage(
        PROJECT,
        tag=f"pgbooking-tests:{version}",
        dockerfile_path="tests/containers/Dockerfile",
        clean_up=False,
        target="tests-with-postgrest" if with_postgrest else "tests",
        buildargs={
            "DEBIAN": DEBIAN[version],
            "POSTGRESQL": version,
            "POSTGREST": postgrest_image(),
        },
        network_mode="host",
        forcerm=True,
    )
    command = ["pytest", "-n", "2", "--dist", "worksteal", "--durations=5", *sys.argv[1:]]
    given = {name: value for name, value in os.environ.items() if name.startswith("PGBOOKING_")}
    given.pop("PGBOOKING_SALON_DATA", None)  # a folder of this machine
    with (
        image,
        DockerContainer(
            str(image),
            env=SIZES | given | {"PGBOOKING_TEST_SERVER": version, "PGBOOKING_NO_SKIPS": "1"},
            network_mode="none",
            shm_size="1g",
        )
        .with_command(command)
        # In memory thousands of databases are made in half the time.
        .with_tmpfs_mount("/tmp", "exec,mode=1777,size=4g") as running,  # noqa: S108
    ):
        container = running.get_wrapped_container()
        output = b""
        for part in container.logs(stream=True, follow=True):
            sys.stdout.buffer.write(part)
            sys.stdout.flush()
            output += part
        status = container.wait()["StatusCode"]
    return status, output.decode().rstrip().rpartition("\n")[2].strip("= ")


if __name__ == "__main__":
    sys.exit(main())
