"""The SQL of an adoption that knows the old tables: written from the map and the tables' columns.

For each table a trigger function and a function that writes it; and functions by which the rest
(adoption/*.sql) reaches rows in the map's terms without knowing which table they are in. All of it
is PL/pgSQL: nothing here depends on the old tables, and the old system can go on changing them. The
map is SQL, too: who runs it has written it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from textwrap import indent

from pgbooking.adopt_map import CUSTOMER, FIELDS, OF_PEOPLE, WRITTEN, AdoptionMap, Section

SCHEMA = "booking_adoption"
TRIGGER = "pgbooking_follows"
EVENTS = ("insert", "update", "delete", "truncate")

# Where row-level security would hide rows, an error is better than taking them for gone.
UNHIDDEN = "volatile parallel unsafe\nset row_security = off"

# Types that without their length mean one character.
WITHOUT_LENGTH = {"character": "bpchar", "bit": "varbit"}

LOCAL, INSTANT = "timestamp without time zone", "timestamp with time zone"


@dataclass(frozen=True)
class OldTable:
    """A section with what the database says of its table: its name, quoted; its key as SQL over the
    row `r`; and the type of each field that is read, the key's under "external_id". other_owner is
    whose it is, where a superuser installs this."""

    section: Section
    relation: str
    key: str
    types: dict[str, str]
    other_owner: str | None = None
    has_parts: bool = False

    @property
    def name(self) -> str:
        return self.section.name

    @property
    def where(self) -> str:
        return f"({self.section.where})" if self.section.where else "true"


def literal(text: str | None) -> str:
    """A text as SQL."""
    return "null" if text is None else "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def raw(section: Section, field: str) -> str | None:
    """What a row of the old table `r` has for a field, as it stands there; None if nothing."""
    if field in section.columns:
        return f"r.{identifier(section.columns[field])}"
    if field in section.sql:
        return f"({section.sql[field]})"
    return None


def text(section: Section, field: str) -> str:
    """A field as text: translated, and what stands in for it where it is empty."""
    value = raw(section, field)
    default = section.defaults.get(field)
    if value is None:
        return literal(default)
    value = f"({value})::text"
    meanings = section.values.get(field, {})
    if meanings:
        cases = " ".join(
            f"when {literal(old)} then {literal(new)}" for old, new in meanings.items()
        )
        value = f"case {value} {cases} else {value} end"
    return value if default is None else f"coalesce(nullif({value}, ''), {literal(default)})"


def type_query(relation: str, value: str) -> str:
    """Asks for the type of SQL over a row of a table, without reading it."""
    return f"select pg_typeof((select {value} from {relation} r where false))::text"


def key_expression(section: Section, primary_key: list[str]) -> str | None:
    """What tells rows apart, as SQL over `r`: the field external_id, else the primary key if it is
    one column, and for who offers what both keys."""
    if section.name == "offers":
        return f"jsonb_build_array({text(section, 'staff')}, {text(section, 'service')})::text"
    given = raw(section, "external_id")
    if given is None and len(primary_key) == 1:
        return f"r.{identifier(primary_key[0])}"
    return given


def statements(adoption: AdoptionMap, tables: list[OldTable]) -> Iterator[str]:
    """Everything, in order, but for the triggers."""
    yield _map(adoption)
    yield _find_row(tables)
    yield _find_rows_of([each for each in tables if each.name in OF_PEOPLE])
    yield _old_keys(tables)
    for table in tables:
        yield _follow(table)
    written = [each for each in tables if not unwritable(each)]
    for table in written:
        yield _write(table)
    yield _changed_columns(written)
    yield _write_old_row(written)
    # Triggers of an old table run as its owner, whoever has installed this.
    for table in written:
        if table.other_owner:
            owner = identifier(table.other_owner)
            function = f"{SCHEMA}.write_{table.name}(text, jsonb)"
            yield f"alter function {function} security definer;"
            yield f"alter function {function} owner to {owner};"
    yield f"revoke execute on all functions in schema {SCHEMA} from public;"
    yield f"grant execute on all functions in schema {SCHEMA} to booking_owner;"
    for owner in sorted({each.other_owner for each in written if each.other_owner}):
        yield f"grant usage on schema {SCHEMA} to {identifier(owner)};"
        yield _lines(
            f"grant execute on function {SCHEMA}.find_row, {SCHEMA}.changed_columns,",
            f"  {SCHEMA}.local_text to {identifier(owner)};",
        )


def triggers(table: OldTable) -> dict[str, str]:
    """By name, what tells of the old table's changes."""
    function = f"{SCHEMA}.follow_{table.name}()"
    rows = {
        "insert": "referencing new table as new_rows",
        "update": "referencing old table as old_rows new table as new_rows",
        "delete": "referencing old table as old_rows",
        "truncate": "",
    }
    return {
        f"{TRIGGER}_{table.name}_{event}": _lines(
            f"create trigger {TRIGGER}_{table.name}_{event}",
            f"after {event} on {table.relation}",
            referencing,
            f"for each statement execute function {function};",
        )
        for event, referencing in rows.items()
    }


def write_triggers(tables: Iterable[OldTable]) -> dict[str, tuple[str, str]]:
    """By name, what tells of pgbooking's changes: the table, and the statement."""
    relations = {"appointments": "appointments", "hours": "working_hours"}
    found = {}
    for table in tables:
        if table.name not in WRITTEN or unwritable(table):
            continue
        relation = f"booking.{relations.get(table.name, table.name)}"
        for event in ("insert", "update", "delete"):
            name = f"adoption_writes_{table.name}_{event}"
            found[name] = (
                relation,
                _lines(
                    f"create constraint trigger {name}",
                    f"after {event} on {relation}",
                    "deferrable initially deferred",
                    "for each row",
                    f"when (coalesce(current_setting('{SCHEMA}.is_writing', true), '') = '')",
                    f"execute function {SCHEMA}.write_changed({literal(table.name)});",
                ),
            )
    return found


def unwritable(table: OldTable) -> str | None:
    """Why pgbooking cannot write rows into that table, or None."""
    section = table.section
    if table.name not in WRITTEN:
        return "only read"
    needed = ["staff"]
    if table.name == "hours":
        needed += ["weekday", "start_time", "end_time"]
    else:
        needed += ["start"] if section.has("start") else ["date", "time"]
        needed += [
            each for each in ("end", "end_time", "duration_minutes", "service") if section.has(each)
        ]
    for name in needed:
        if name not in section.columns:
            return f"{name} is read by SQL or always the same"
    if section.where and not section.new:
        return "it has a where, and [new] does not say what makes a new row fit it"
    return None


def _map(adoption: AdoptionMap) -> str:
    content = literal(adoption.as_json())
    return _lines(
        f"insert into {SCHEMA}.map (content)",
        f"values ({content})",
        "on conflict (is_the_only_row) do update set content = excluded.content;",
    )


def _content(table: OldTable) -> str:
    """A row `r` in the map's terms."""
    content = {"external_id": f"({table.key})::text", "tenant": _tenant(table), **_contents(table)}
    pairs = ",\n".join(f"{literal(name)}, {value}" for name, value in content.items())
    return _lines("jsonb_build_object(", indent(pairs, "  "), ")")


def _tenant(table: OldTable) -> str:
    """The old system's key of the row's tenant; '' where it knows but one."""
    if table.name == "tenants":
        return f"({table.key})::text"
    return text(table.section, "tenant") if table.section.has("tenant") else "''::text"


def _contents(table: OldTable) -> dict[str, str]:
    section = table.section
    fields = {
        name: text(section, name)
        for name in sorted(FIELDS[table.name] - {"external_id", "tenant"})
        if section.has(name) and name not in {"start", "end", "date", "time", *CUSTOMER}
    }
    if "is_active" in FIELDS[table.name]:
        fields["is_active"] = f"coalesce({fields.get('is_active', 'null')}, 'true')"
    if "slug" in FIELDS[table.name] and "slug" in fields:
        fields["slug"] = f"lower({fields['slug']})"
    if table.name not in OF_PEOPLE:
        return fields
    fields.pop("end_time", None)
    fields |= _times(table)
    if section.time_zone:
        fields["time_zone"] = literal(section.time_zone)
    if section.use_buffers:
        fields["use_buffers"] = "true"
    known = [
        (key, text(section, name))
        for key, name in (("name", "customer"), ("email", "email"), ("phone", "phone"))
        if section.has(name)
    ]
    if known:
        pairs = ", ".join(f"{literal(key)}, {value}" for key, value in known)
        fields["customer"] = f"jsonb_strip_nulls(jsonb_build_object({pairs}))"
    return fields


def _times(table: OldTable) -> dict[str, str]:
    """start_at or start_local, and the same for the end."""
    section = table.section
    found = {}
    for name, clock in (("start", "time"), ("end", "end_time")):
        value = raw(section, name)
        if value is not None:
            which = "at" if table.types[name] == INSTANT else "local"
            found[f"{name}_{which}"] = f"to_jsonb({value})"
        elif raw(section, clock) is not None and raw(section, "date") is not None:
            local = f"({raw(section, 'date')})::date + ({raw(section, clock)})::time"
            if name == "end":
                # Past midnight.
                local += (
                    f" + case when ({raw(section, clock)})::time <= ({raw(section, 'time')})::time"
                    " then interval '1 day' else interval '0' end"
                )
            found[f"{name}_local"] = f"to_jsonb({local})"
    return found


def _matches(table: OldTable, key: str) -> str:
    """Whether the row `r` is the one of that key, a text."""
    if table.name == "offers":
        return f"{table.key} = {key}"
    return f"{table.key} = {key}::{table.types['external_id']}"


def _find_row(tables: list[OldTable]) -> str:
    cases = [
        _lines(
            f"when {literal(table.name)} then",
            "  if p_lock then",
            f"    perform from {table.relation} r where {_matches(table, 'p_key')}",
            "    for share nowait;",
            "  end if;",
            "  select",
            indent(_content(table), "    "),
            "  into v_content",
            f"  from {table.relation} r",
            f"  where {_matches(table, 'p_key')} and {table.where};",
        )
        for table in tables
    ]
    return _function(
        "find_row(p_section text, p_key text, p_lock boolean) returns jsonb",
        "-- A row of an old table in the map's terms, as it is now; null if it is not there. With\n"
        "-- p_lock nobody changes it until the transaction ends; not waited for.",
        ["v_content jsonb;"],
        [_case("p_section", cases), "return v_content;"],
        UNHIDDEN.replace("unsafe", "unsafe security definer"),
    )


def _find_rows_of(tables: list[OldTable]) -> str:
    cases = [
        _lines(
            f"when {literal(table.name)} then",
            "  return query select",
            indent(_content(table), "    "),
            f"  from {table.relation} r",
            f"  where {raw(table.section, 'staff')} = p_staff::{table.types['staff']}",
            f"    and {_tenant(table)} = p_tenant and {table.where};",
        )
        for table in tables
    ]
    return _function(
        "find_rows_of(p_section text, p_tenant text, p_staff text) returns table (content jsonb)",
        "-- Every row that an old table has of one person.",
        [],
        [_case("p_section", cases)],
        UNHIDDEN,
    )


def _old_keys(tables: list[OldTable]) -> str:
    cases = [
        _lines(
            f"when {literal(table.name)} then",
            f"  return query select {_tenant(table)}, ({table.key})::text",
            f"  from {table.relation} r where {table.where};",
        )
        for table in tables
    ]
    return _function(
        "old_keys(p_section text) returns table (tenant text, external_id text)",
        "-- The key of every row of an old table.",
        [],
        [_case("p_section", cases)],
        UNHIDDEN,
    )


def _follow(table: OldTable) -> str:
    def of_rows(rows: str, tenant: str, where: str) -> str:
        return _lines(
            f"select v_tenants || array_agg({tenant}), v_keys || array_agg(({table.key})::text)",
            f"into v_tenants, v_keys from {rows} r where {where};",
        )

    def of_both(tenant: str, where: str) -> str:
        return _lines(
            "if tg_op <> 'INSERT' then",
            indent(of_rows("old_rows", tenant, where), "  "),
            "end if;",
            "if tg_op <> 'DELETE' then",
            indent(of_rows("new_rows", tenant, where), "  "),
            "end if;",
        )

    name = literal(table.name)
    return _function(
        f"follow_{table.name}() returns trigger",
        f"-- Tells which rows of {table.relation} were written. Whatever goes wrong stays in the\n"
        "-- queue, and the old system's transaction goes on.",
        [
            f"v_writing text := coalesce(current_setting('{SCHEMA}.is_writing', true), '');",
            "v_tenants text[] := array[]::text[];",
            "v_keys text[] := array[]::text[];",
        ],
        [
            f"if v_writing in ('here', 'copying', {literal(f'there {table.name}')}) then\n"
            "  return null;\n"
            "end if;",
            _lines(
                "begin",
                "  if tg_op = 'TRUNCATE' then",
                f"    perform {SCHEMA}.follow_truncate({name});",
                "    return null;",
                "  end if;",
                "  if current_setting('transaction_isolation') = 'serializable' then",
                "    -- Whatever is read here could make that transaction fail.",
                indent(of_both("null::text", "true"), "    "),
                "  else",
                indent(of_both(_tenant(table), table.where), "    "),
                "  end if;",
                "  if v_keys <> '{}' then",
                f"    perform {SCHEMA}.follow({name}, v_tenants, v_keys);",
                "  end if;",
                "exception when query_canceled or assert_failure or others then",
                "  begin",
                f"    insert into {SCHEMA}.queue (",
                "      section, tenant, external_id, sqlstate, last_error",
                "    )",
                f"    select {name}, k.tenant, k.key, sqlstate, sqlerrm",
                "    from unnest(v_tenants, v_keys) as k(tenant, key);",
                "    if v_keys = '{}' then",
                f"      insert into {SCHEMA}.queue (section, sqlstate, last_error)",
                f"      values ({name}, sqlstate, sqlerrm);",
                "    end if;",
                "  exception when query_canceled or others then",
                "    raise warning 'pgbooking cannot follow this: %', sqlerrm;",
                "  end;",
                "end;",
            ),
            "return null;",
        ],
        "volatile parallel unsafe security definer\nset lock_timeout = '10ms'",
    )


def _write(table: OldTable) -> str:
    """The function that inserts, updates or deletes one row of an old table."""
    section = table.section
    has_status = "status" in section.columns
    matches = _matches(table, "p_key")
    gone = "p_row is null"
    if not has_status:
        gone = "(p_row is null or p_row ->> 'status' = 'cancelled')"
    columns = [identifier(section.columns[name]) for name, _, _ in _written(table)]
    additions = {section.columns[name]: _addition(section, name) for name in _only_new(table)}
    mapped = [*columns, *map(identifier, additions)]
    new_columns = [*mapped, *map(identifier, section.new)]
    new_values = [
        *(f"p.{column}" for column in mapped),
        *(f"({expression})" for expression in section.new.values()),
    ]
    assign_new = [
        f"v_columns := v_columns || jsonb_build_object({literal(column)}, {value});"
        for column, value in additions.items()
    ]
    updated = ", ".join(columns)
    populated = ", ".join(f"p.{column}" for column in columns)
    return _function(
        f"write_{table.name}(p_key text, p_row jsonb) returns text",
        f"-- Makes {table.relation} agree with a row of pgbooking's; returns its key there, null\n"
        "-- if it has none (any more). Columns of fields that have not changed stay.",
        ["v_now jsonb;", "v_columns jsonb;", "v_key text;", "v_deferred text;"],
        [
            _lines(
                "if p_key is not null then",
                f"  perform from {table.relation} r where {matches} for update nowait;",
                f"  if ({gone}{_or_cancelled(has_status)}) and not found then",
                "    return null;",
                f"  elsif {gone} then",
                f"    delete from {table.relation} r where {matches};",
                "    return null;",
                "  elsif not found then",
                "    p_key := null;  -- deleted there: made anew",
                "  end if;",
                f"  v_now := {SCHEMA}.find_row({literal(table.name)}, p_key, false);",
                "end if;",
            ),
            f"v_columns := {SCHEMA}.changed_columns({literal(table.name)}, v_now, p_row);",
            _lines(
                "if p_key is null then",
                indent("\n".join(assign_new), "  ") if assign_new else None,
                f"  insert into {table.relation} as r ({', '.join(new_columns)})",
                f"  select {', '.join(new_values)}",
                f"  from jsonb_populate_record(null::{table.relation}, v_columns) as p",
                "  cross join (select p_row as a) as given",
                f"  returning ({table.key})::text into v_key;",
                "  if not found then",
                "    raise exception using",
                "      errcode = 'no_data_found',",
                f"      message = 'a trigger of {table.relation} has thrown the row away';",
                "  end if;",
                "elsif v_columns <> '{}' then",
                f"  update {table.relation} r",
                f"  set ({updated}) = (",
                f"    select {populated} from jsonb_populate_record(r, v_columns) as p",
                "  )",
                f"  where {matches};",
                "end if;",
            ),
            _lines(
                "-- What would be found at the end of the transaction must be found here, where it",
                "-- is caught.",
                "select string_agg(format('%I.%I', n.nspname, c.conname), ', ') into v_deferred",
                "from pg_catalog.pg_constraint c",
                "join pg_catalog.pg_namespace n on n.oid = c.connamespace",
                f"where c.conrelid = {literal(table.relation)}::regclass and c.condeferred;",
                "if v_deferred is not null then",
                "  execute format('set constraints %s immediate', v_deferred);",
                "  execute format('set constraints %s deferred', v_deferred);",
                "end if;",
                "return coalesce(v_key, p_key);",
            ),
        ],
        UNHIDDEN,
    )


def _changed_columns(tables: list[OldTable]) -> str:
    cases = [
        _lines(
            f"when {literal(table.name)} then",
            indent(
                "\n".join(
                    _lines(
                        f"if {before} is distinct from {wanted} then",
                        "  v_columns := v_columns || jsonb_build_object("
                        f"{literal(table.section.columns[name])}, "
                        f"{_back(table.section, name, wanted)});",
                        "end if;",
                    )
                    for name, before, wanted in _written(table)
                ),
                "  ",
            ),
        )
        for table in tables
    ]
    return _function(
        "changed_columns(p_section text, p_now jsonb, p_row jsonb) returns jsonb",
        "-- The columns of an old row that differ from a row of pgbooking's, as they should be.",
        ["v_columns jsonb := jsonb_build_object();"],
        [_case("p_section", cases) if cases else "", "return v_columns;"],
        "stable parallel safe",
    )


def _or_cancelled(has_status: bool) -> str:
    return " or p_row ->> 'status' = 'cancelled'" if has_status else ""


def _written(table: OldTable) -> list[tuple[str, str, str]]:
    """Each field whose column is written whenever it changes: what the row has, what it should."""
    section = table.section
    found = []
    for name in (
        "staff",
        "location",
        "service",
        "weekday",
        "start",
        "end",
        "date",
        "time",
        "start_time",
        "end_time",
        "duration_minutes",
        "valid_from",
        "valid_until",
        "status",
    ):
        if name not in section.columns:
            continue
        before, wanted = f"p_now ->> {literal(name)}", f"p_row ->> {literal(name)}"
        if table.name in OF_PEOPLE and name in {"start", "end"}:
            if table.types[name] == INSTANT:
                before = f"(p_now ->> '{name}_at')::timestamptz"
                wanted = f"(p_row ->> '{name}_at')::timestamptz"
            else:
                before = f"(p_now ->> '{name}_local')::timestamp"
                wanted = f"{SCHEMA}.local_text(p_row, '{name}')::timestamp"
        elif table.name in OF_PEOPLE and name in {"date", "time", "end_time"}:
            which = "end" if name == "end_time" else "start"
            kind = "date" if name == "date" else "time"
            before = f"(p_now ->> '{which}_local')::timestamp::{kind}"
            wanted = f"{SCHEMA}.local_text(p_row, '{which}')::timestamp::{kind}"
        elif table.name == "hours" and name in {"start_time", "end_time"}:
            before, wanted = f"({before})::time", f"({wanted})::time"
        elif name in {"valid_from", "valid_until"}:
            before, wanted = f"({before})::date", f"({wanted})::date"
        elif name == "status":
            wanted = _known_status(section)
        found.append((name, before, wanted))
    return found


def _known_status(section: Section) -> str:
    """The status as far as the old system has words for it: not paid yet is booked."""
    meanings = set(section.values.get("status", {}).values())
    wanted = "p_row ->> 'status'"
    if meanings and "pending" not in meanings:
        return f"(case {wanted} when 'pending' then 'confirmed' else {wanted} end)"
    return wanted


def _back(section: Section, name: str, wanted: str) -> str:
    """A field's value in the old system's words: the first that means it."""
    words: dict[str, str] = {}
    for old, meaning in section.values.get(name, {}).items():
        words.setdefault(meaning, old)
    if not words:
        return wanted
    cases = " ".join(f"when {literal(new)} then {literal(old)}" for new, old in words.items())
    return f"(case {wanted} {cases} else {wanted} end)"


def _only_new(table: OldTable) -> list[str]:
    """Fields that are written once, with the row."""
    names = ["tenant", *CUSTOMER, "customer_id", "notes", "price_cents", "currency"]
    return [
        name
        for name in names
        if name in table.section.columns
        and table.section.columns[name] not in table.section.new
        and (table.name == "appointments" or name == "tenant")
    ]


def _addition(section: Section, name: str) -> str:
    paths = {"customer": "customer,name", "email": "customer,email", "phone": "customer,phone"}
    value = f"p_row #> '{{{paths[name]}}}'" if name in paths else f"p_row -> {literal(name)}"
    if section.values.get(name):
        return _back(section, name, value.replace("#>", "#>>").replace(" -> ", " ->> "))
    return value


def _write_old_row(tables: list[OldTable]) -> str:
    cases = [
        _lines(
            f"when {literal(table.name)} then",
            f"  v_key := {SCHEMA}.write_{table.name}(p_key, p_row);",
        )
        for table in tables
    ]
    return _function(
        "write_old_row(p_section text, p_key text, p_row jsonb) returns text",
        "-- Writes a row of pgbooking's into its old table; returns the key that it has there.",
        ["v_key text;"],
        [_case("p_section", cases) if cases else "", "return v_key;"],
        "volatile parallel unsafe",
    )


def _case(value: str, cases: list[str]) -> str:
    return _lines(f"case {value}", indent("\n".join(cases), "  "), "end case;")


def _function(
    head: str,
    comment: str,
    variables: list[str],
    body: list[str],
    options: str = "volatile parallel unsafe",
) -> str:
    name, returns = head.split(" returns ", 1)
    body_text = "\n".join(body)
    return _lines(
        comment,
        f"create or replace function {SCHEMA}.{name} returns {returns}",
        f"language plpgsql {options}",
        "set search_path = ''",
        "as $$",
        "declare" if variables else None,
        indent("\n".join(variables), "  ") if variables else None,
        "begin",
        indent(body_text, "  "),
        "end",
        "$$;",
    )


def _lines(*lines: str | None) -> str:
    return "\n".join(line for line in lines if line)
