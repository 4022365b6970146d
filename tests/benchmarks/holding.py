"""Holding slots by many clients at once, driven by pgbench, and clearing what has expired."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.bench import TENANT, Bench
from tests.benchmarks.figures import Figure, percentile, seconds
from tests.postgres import BINARIES

CLIENTS = 8
CROWD = 64

# PostgREST keeps its sessions, and a session plans what it is asked for the first time.
WARM_UP = 5

# What PostgREST sets for an anonymous POST, for the whole session.
ANON = '-c role=anon -c request.method=POST -c request.jwt.claims={"role":"anon"}'

# Slots of half an hour that do not overlap, each client's of people of its own, in turn.
TARGETS = """
insert into bench.targets (client, n, slot_id)
select client, row_number() over (partition by client order by turn, staff_id), id
from (
  select s.id, s.staff_id,
    mod(dense_rank() over (order by s.staff_id) - 1, %s) as client,
    row_number() over (partition by s.staff_id order by s.start_time) as turn
  from booking.availability_slots s
  where s.tenant_id = %s and s.duration_minutes = 30 and s.is_available
    and s.start_time > now() + interval '1 day' and extract(minute from s.start_time) in (0, 30)
) as slots
"""
RESERVE = """
select api.reserve_slot(t.slot_id, 'benchmark-session-' || :client_id || '-' || random())
from bench.targets t
where t.client = :client_id and t.n = (select nextval('bench.turn_' || :client_id));
"""
UPDATE = "update bench.counters set n = n + 1 where client = :client_id;\n"
RUSH = """
select api.reserve_slot('{slot}', 'benchmark-session-' || :client_id || '-' || random());
"""

# As many holds as that, spread over people; and the update of as many slots as clearing them
# rewrites.
HOLDS = """
insert into booking.slot_reservations (
  tenant_id, slot_id, staff_id, location_id, shape_id, start_time, claim, session_hash, expires_at
)
select s.tenant_id, s.id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.claim,
  sha256(s.id::text::bytea), now() + interval '10 minutes'
from booking.availability_slots s
join bench.targets t on t.slot_id = s.id
where s.tenant_id = %s
order by t.n, s.staff_id
limit %s
"""
SIMILAR_UPDATE = """
update booking.availability_slots s
set reserved_until = null, reserved_by_session = null, calculated_at = now()
where s.tenant_id = %s and s.reserved_until is not null
"""


def figures(bench: Bench, transactions: int, many: int) -> Iterator[Figure]:
    pgbench = find_pgbench()
    if pgbench:
        yield from _reserving(bench, pgbench, transactions)
    yield _clearing(bench, many)


def find_pgbench() -> str | None:
    """pgbench comes with the server's packages, and not with the embedded wheel."""
    folders = [folder.format(major=major) for folder in BINARIES for major in (18, 17, 16, 15)]
    return shutil.which("pgbench", path=os.pathsep.join([*folders, os.environ["PATH"]]))


def _reserving(bench: Bench, pgbench: str, transactions: int) -> Iterator[Figure]:
    db = bench.connection
    clients = min(CLIENTS, bench.staff)
    db.execute(TARGETS, [clients, TENANT])
    fewest = bench.value(
        "select min(count) from (select count(*) from bench.targets group by client) as c"
    )
    for client in range(clients):
        db.execute(f"create sequence bench.turn_{client}".encode())
        db.execute(f"grant usage on sequence bench.turn_{client} to anon".encode())
    db.execute("insert into bench.counters select generate_series(0, %s)", [clients - 1])
    bench.settle()

    each = min(transactions, fewest // 2)
    alone, _ = _run(bench, pgbench, RESERVE, 1, min(each, 200), ANON)
    _, rate = _run(bench, pgbench, RESERVE, clients, each, ANON)
    held = bench.value("select count(*) from booking.slot_reservations")
    assert held == min(each, 200) + clients * each, held
    _, bare_rate = _run(bench, pgbench, UPDATE, clients, each * 5)
    yield Figure(
        f"reserve_slot, {CLIENTS} clients, different people", rate,
        "single-row UPDATE by as many (pgbench)", bare_rate, 0.25, "share of the rate",
    )  # fmt: skip

    _free_all(bench)
    slot = bench.value("select slot_id from bench.targets where client = 0 and n = 1")
    crowd, _ = _run(
        bench, pgbench, RUSH.format(slot=slot), CROWD, max(WARM_UP + 5, transactions // 10), ANON
    )
    assert bench.value("select count(*) from booking.slot_reservations") == 1
    yield Figure(
        f"reserve_slot, {CROWD} clients, one slot: the losers' 99th percentile",
        percentile(crowd, 99),
        "one client alone",
        statistics.median(alone),
        50,
    )
    _free_all(bench)


def _run(
    bench: Bench, pgbench: str, script: str, clients: int, each: int, options: str = ""
) -> tuple[list[float], float]:
    """The seconds that each transaction took, and how many there were in a second, once warm."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "script.sql").write_text(script)
        command = [
            pgbench, "--no-vacuum", f"--client={clients}", "--jobs=1", f"--transactions={each}",
            "--protocol=prepared", "--log", "--file=script.sql", bench.url,
        ]  # fmt: skip
        result = subprocess.run(
            command, check=True, cwd=folder, capture_output=True, text=True,
            env=os.environ | {"PGOPTIONS": options},
        )  # fmt: skip
        lines = [
            [int(word) for word in line.split()[:6]]
            for log in Path(folder).glob("pgbench_log.*")
            for line in log.read_text().splitlines()
        ]
    assert len(lines) == clients * each, result.stdout + result.stderr
    # client, number, microseconds, script, second and microsecond of its end
    warm = [
        (second + micros / 1e6, took / 1e6)
        for _, number, took, _, second, micros in lines
        if number >= WARM_UP
    ]
    began = min(end - took for end, took in warm)
    return [took for _, took in warm], len(warm) / (max(end for end, _ in warm) - began)


def _free_all(bench: Bench) -> None:
    bench.connection.execute("delete from booking.slot_reservations")
    bench.settle()


def _clearing(bench: Bench, many: int) -> Figure:
    db = bench.connection
    if not bench.value("select count(*) from bench.targets"):
        db.execute(TARGETS, [1, TENANT])
    count = db.execute(HOLDS, [TENANT, many]).rowcount
    bench.settle()
    with db.transaction(force_rollback=True):
        bare = bench.timed(SIMILAR_UPDATE, [TENANT])
    bench.settle()
    written = bench.slots_written()

    def clear() -> None:
        # Eleven minutes later.
        bench.connection.execute(
            "select set_config('booking.fake_now', (now() + interval '11 minutes')::text, false)"
        )
        while bench.value("select booking.cleanup_expired_slot_reservations()"):
            pass

    took = seconds(clear)
    bench.connection.execute("reset booking.fake_now")
    written = bench.slots_written() - written
    assert bench.value("select count(*) from booking.slot_reservations") == 0
    return Figure(
        "expired holds cleared", took, "one UPDATE of the slots that they hid", bare, 3, work=count,
        remark=f"{count:,} holds, {written:,} slots",
    )  # fmt: skip
