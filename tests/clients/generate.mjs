// Prints the TypeScript types of schema "api" of the database that PGHOST, PGDATABASE … name, with
// the generator behind `supabase gen types typescript`: `make types`.

import { introspect } from '@supabase/postgrest-typegen/introspection'
import { generateTypescript, sortGeneratorMetadata } from '@supabase/postgrest-typegen/generation'
import pg from 'pg'

// PostgreSQL says of every column of a view that it may be null. Here one is not where it has the
// name of a NOT NULL column of the table of the view's name, or coalesces one (these).
const COALESCED = ['locations.timezone']
const NEVER_NULL = `
  select v.relname || '.' || a.attname as name
  from pg_catalog.pg_class v
  join pg_catalog.pg_class t on t.relname = v.relname
  join pg_catalog.pg_attribute a on a.attrelid = t.oid
  where v.relnamespace = 'api'::regnamespace and v.relkind = 'v'
    and t.relnamespace = 'booking'::regnamespace and a.attnotnull`

// One connection, or the generator's queries would all be sent at once.
const pool = new pg.Pool({ max: 1 })
try {
  const metadata = sortGeneratorMetadata(await introspect(pool, { includedSchemas: ['api'] }))
  const { rows } = await pool.query(NEVER_NULL)
  const neverNull = new Set([...COALESCED, ...rows.map((row) => row.name)])
  for (const column of metadata.columns) {
    column.is_nullable &&= !neverNull.has(`${column.table}.${column.name}`)
  }
  const types = await generateTypescript(metadata, { postgrestVersion: '14', defaultSchema: 'api' })
  process.stdout.write(`// Written by \`make types\`. Use database.ts, which completes it.\n\n${types}`)
} finally {
  await pool.end()
}
