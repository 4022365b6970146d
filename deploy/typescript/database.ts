// The types of schema "api" for supabase-js and postgrest-js (2.80 or later):
//
//   const supabase = createClient<Database>(url, key, { db: { schema: 'api' } })
//   const api = new PostgrestClient<Database>(url, { schema: 'api' })
//
// `schema.ts` is generated; here its functions get the arguments and answers of `envelopes.ts`.

import type { Answers, JsonArguments } from './envelopes'
import type { Database as Generated } from './schema'

export type * from './envelopes'

type Functions = Omit<Generated['api']['Functions'], 'pre_request'>

type Typed<Name extends keyof Functions> = {
  Args: Name extends keyof JsonArguments
    ? Omit<Functions[Name]['Args'], keyof JsonArguments[Name]> & JsonArguments[Name]
    : Functions[Name]['Args']
  Returns: Answers[Name]
}

export type Database = Omit<Generated, 'api'> & {
  api: Omit<Generated['api'], 'Functions'> & {
    Functions: { [Name in keyof Functions]: Typed<Name> }
  }
}
