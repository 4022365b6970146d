"""Named queries: no SQL strings in Python, and no file that nobody runs."""

from __future__ import annotations

import re
from pathlib import Path

from pgbooking import app

PACKAGE = Path(app.__file__).parent
FAMILIES = ("demo_{", "reference_{", "seed_{", "import_known_{", "import_make_{", "import_{")


def test_no_query_file_is_without_a_user() -> None:
    code = "".join(path.read_text() for path in PACKAGE.glob("*.py"))
    families = [family[:-1] for family in FAMILIES if f'f"{family}' in code]
    unused = [
        path.stem
        for path in (PACKAGE / "queries").glob("*.sql")
        if f'"{path.stem}"' not in code and not path.stem.startswith(tuple(families))
    ]
    assert unused == []


def test_every_query_says_tenant_unless_it_is_about_the_installation() -> None:
    without_tenant = {
        path.stem
        for path in (PACKAGE / "queries").glob("*.sql")
        if not re.search(r"\btenant", re.sub(r"--.*", "", path.read_text()))
    }
    assert without_tenant == {
        "adopt_drop",
        "adopt_follow_queued",
        "adopt_forget_job",
        "adopt_installed",
        "adopt_job",
        "adopt_lock_timeout",
        "adopt_map",
        "adopt_old_table",
        "adopt_only_tenant",
        "adopt_queue_due",
        "adopt_triggers",
        "demo_call_as",
        "doctor_adoption",
        "doctor_connections",
        "doctor_installation",
        "doctor_job_users",
        "doctor_migration_lock",
        "doctor_owners",
        "doctor_postgrest",
        "doctor_role_settings",
        "doctor_roles",
        "doctor_rows",
        "doctor_server",
        "doctor_server_settings",
        "doctor_sessions",
        "doctor_states",
        "doctor_timeouts",
        "doctor_upkeep",
        "import_is_time_zone",
        "import_query_settings",
        "jobs_cron",
        "jobs_cron_database",
        "jobs_cron_schedule",
        "jobs_cron_schedule_elsewhere",
        "jobs_cron_scheduled",
        "jobs_cron_unschedule",
        "jobs_leader",
        "jobs_listed",
        "jobs_run",
        "jobs_run_result",
        "jobs_runner",
        "migrations_lock",
        "migrations_objects",
        "migrations_recorded",
        "objects",
        "privileges",
        "report_caller",
        "scheduler_lead",
        "verify_now",
        "verify_p4",
    }
