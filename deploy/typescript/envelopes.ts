// What the functions of schema "api" take and answer as JSON, which PostgreSQL cannot tell the
// generator of schema.ts. Instants are ISO texts in UTC, dates are local dates of the place, prices
// are gross, in hundredths of the currency.

/** A refusal, with an HTTP status from 400 on: nothing has changed. In postgrest-js the `error`. */
export type Refusal = {
  success: false
  code: RefusalCode
  message: string
  details: string | null
  hint: string | null
}

export type RefusalCode =
  /** 400: `message` names the field, its value and what was expected. */
  | 'invalid_request'
  /** 400 */
  | 'range_too_large'
  /** 401: sign in, or send the `manage_token`. */
  | 'not_authenticated'
  /** 403 */
  | 'forbidden'
  /** 404: there is none, or it is not yours. */
  | 'not_found'
  | 'slot_not_found'
  /** 409: it cannot be booked now; choose another. */
  | 'slot_taken'
  /** 409: it is not held for you, or no longer; reserve again. */
  | 'reservation_expired'
  /** 409: the business has changed the calendar since it was held. */
  | 'appointment_conflict'
  /** 409: this `idempotency_key` has come with another body. */
  | 'idempotency_conflict'
  /** 409: book or release another hold first. */
  | 'hold_limit_reached'
  /** 409: the customer has booked as much ahead as the tenant allows. */
  | 'customer_limit_reached'
  /** 409: within the notice; or a payment after the appointment was cancelled. */
  | 'too_late'
  /** 409: cancelled or over already; or a payment that cannot become this. */
  | 'invalid_status'
  /** 429: wait for as many seconds as `Retry-After` says. */
  | 'rate_limited'
  /** 503: the same. */
  | 'busy'

/** Who books. Further keys are kept; 8 kB at most. */
export type UserData = {
  name: string
  locale?: string | null
  timezone?: string | null
  [key: string]: unknown
} & ({ email: string; phone?: string | null } | { email?: string | null; phone: string })

/** A row of a week's working hours, in local time of the place; over midnight if it ends earlier. */
export type WeeklyHours = {
  location_id: string
  /** 1 (Monday) to 7. */
  weekday: number
  /** Like 09:00. */
  start_time: string
  /** Like 17:00; 24:00 is the end of the day. */
  end_time: string
}

export type AppointmentStatus = 'pending' | 'confirmed' | 'completed' | 'cancelled' | 'no_show'

export type PaymentStatus = 'not_required' | 'pending' | 'paid' | 'refunded' | 'failed'

/** A price is told where `appointment_type` was named. */
type Quote = { price_cents?: number; currency?: string }

export type Slot = Quote & {
  id: string
  staff_id: string
  start_time: string
  end_time: string
  duration_minutes: number
  location_id: string
  /** Places in a class; 1 for a single slot. */
  seats_left: number
}

/** When somebody is free, whoever it is. Prices differ from person to person where rules say so. */
export type AvailableTime = {
  start_time: string
  end_time: string
  duration_minutes: number
  location_id: string
  /** How many people can be booked then. */
  free_staff: number
  lowest_price_cents: number
  highest_price_cents: number
  currency: string
}

export type Reservation = Quote & {
  slot_id: string
  tenant_id: string
  staff_id: string
  location_id: string
  start_time: string
  end_time: string
  duration_minutes: number
  seat: number
  appointment_type?: string
  reserved_until: string
}

/** What one place and kind of slot has to say of a time. */
export type Candidate = {
  location_id: string
  location_name: string
  timezone: string
  /** Without offset, as a clock there shows it. */
  local_time: string
  appointment_types: string[]
  slot_id: string
  is_available: boolean
  rules: Rule[]
}

export type Rule = {
  rule:
    | 'active'
    | 'working_time'
    | 'starts'
    | 'fit'
    | 'free'
    | 'day_limit'
    | 'compact'
    | 'bookable'
    | 'not_held'
  /** Null where another rule leaves nothing to ask. */
  passed: boolean | null
  message: string
  /** The rows that decided; of `bookable` the bounds. */
  evidence: (Evidence | Bounds)[]
}

export type Evidence = {
  table: string
  id: string
  starts_at?: string
  ends_at?: string
  note?: string | null
  /** The place of an appointment from or to which there is no time to travel. */
  travel_from?: string
}

export type Bounds = {
  now: string
  bookable_from?: string
  bookable_until: string
  last_date: string
}

/** What each function answers when it does what was asked: `data` in postgrest-js. */
export type Answers = {
  get_tenant: { success: true; id: string; name: string; timezone: string }

  get_available_slots: {
    success: true
    slots: Slot[]
    /** There where more follow: send it as `page_token`, with the same arguments. */
    next_page_token?: string
  }

  get_available_times: { success: true; times: AvailableTime[] }

  get_next_available: { success: true; slots: Slot[] }

  reserve_slot: Quote & {
    success: true
    slot_id: string
    reserved_until: string
    seat: number
    message: string
  }

  reserve_time: Required<Quote> & {
    success: true
    slot_id: string
    /** Whose turn it is: fewest appointments in the week, then idle longest. */
    staff_id: string
    location_id: string
    start_time: string
    end_time: string
    reserved_until: string
    seat: number
    message: string
  }

  get_reservations: { success: true; reservations: Reservation[] }

  release_slot: { success: true; slot_id: string; message: string }

  create_appointment: {
    success: true
    appointment_id: string
    status: AppointmentStatus
    start_time: string
    end_time: string
    price_cents: number
    currency: string
    /** Shown once; its bearer can move and cancel without signing in. */
    manage_token: string
    payment_required: boolean
    payment_due_at: string | null
    payment_url: string | null
  }

  reschedule_appointment: {
    success: true
    appointment_id: string
    slot_id: string
    staff_id: string
    location_id: string
    start_time: string
    end_time: string
    seat: number
    message: string
  }

  cancel_appointment: {
    success: true
    appointment_id: string
    status: 'cancelled'
    message: string
  }

  record_payment: {
    success: true
    appointment_id: string
    status: AppointmentStatus
    payment_status: PaymentStatus
  }

  set_working_hours: {
    success: true
    staff_ids: string[]
    valid_from: string | null
    message: string
  }

  explain_availability: {
    success: true
    staff_id: string
    staff_name: string
    at: string
    /** The calendar waits to be published anew. */
    is_queued: boolean
    /** Why there is no candidate. */
    message: string | null
    candidates: Candidate[]
  }

  recalculate_availability: {
    success: true
    calendars: number
    /** More than 20 calendars are left to the queue; rows are not counted then. */
    queued: number
    inserted?: number
    updated?: number
    deleted?: number
    message: string
  }
}

/** The body of a response, whatever its status: `(await response.json()) as Answer<'get_tenant'>`. */
export type Answer<Name extends keyof Answers> = Answers[Name] | Refusal

/** Arguments that are JSON to PostgreSQL. */
export type JsonArguments = {
  create_appointment: { user_data: UserData }
  set_working_hours: { hours: WeeklyHours[] }
}
