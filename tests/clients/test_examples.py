"""The README's TypeScript compiles, and what does not fit does not; tests/http runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import node
from tests.clients.examples import example

FITS = """
import { createClient } from '@supabase/supabase-js'
import type { Answer, Database } from './database'

const supabase = createClient<Database>('', '', { db: { schema: 'api' } })
const { data: people } = await supabase.from('staff').select('id, display_name').throwOnError()
people[0]?.display_name satisfies string | undefined

const { data: next } = await supabase.rpc('get_next_available', { tenant_id: '' }).throwOnError()
next.slots[0]?.seats_left satisfies number | undefined

const response = (await (await fetch('')).json()) as Answer<'reserve_slot'>
if (response.success) response.seat satisfies number
else if (response.code === 'slot_taken') response.message satisfies string

await supabase.rpc('create_appointment', {
  slot_id: '', appointment_type: '', user_data: { name: 'Ada', phone: '123', pets: ['cat'] },
})
const hours = { location_id: '', weekday: 1, start_time: '09:00', end_time: '17:00' }
await supabase.rpc('set_working_hours', { tenant_id: '', staff_id: '', hours: [hours] })
await supabase.from('working_hours').insert({ ...hours, tenant_id: '', staff_id: '' })
"""

DOES_NOT_FIT = {
    "an_unknown_function": "await supabase.rpc('pre_request')",
    "a_missing_argument": "await supabase.rpc('get_tenant', {})",
    "a_column_that_is_not_shown": "people[0]?.user_id",
    "a_column_that_may_be_null": "const { data: breaks } = await supabase.from('breaks').select();"
    " breaks?.[0]?.weekday satisfies number | undefined",
    "nobody_to_reach": "await supabase.rpc('create_appointment',"
    " { slot_id: '', appointment_type: '', user_data: { name: 'Ada' } })",
    "an_unknown_code": "if (!response.success && response.code === 'taken') {}",
    "hours_of_another_kind": "await supabase.rpc('set_working_hours',"
    " { tenant_id: '', staff_id: '', hours: { ...hours } })",
}


@pytest.fixture(autouse=True)
def needed() -> None:
    node.need_node()


def test_the_readmes_typescript_compiles(tmp_path: Path) -> None:
    assert node.errors(tmp_path, example=example("ts")) == ""


def test_calls_that_fit_compile_and_others_do_not(tmp_path: Path) -> None:
    lines = [f"// @ts-expect-error\n{line}" for line in DOES_NOT_FIT.values()]
    assert node.errors(tmp_path, calls="\n".join([FITS, *lines])) == ""
