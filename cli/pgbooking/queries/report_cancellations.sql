-- What became of appointments and how far ahead they were made, altogether (first_date is null) and
-- by week or month (its first day, perhaps before the range).
with lost as (
  select
    date_trunc(%(period)s, c.date::timestamp)::date as first_date,
    sum(c.appointments)::bigint as appointments,
    sum(c.cancelled)::bigint as cancelled,
    sum(c.cancelled_late)::bigint as cancelled_late,
    sum(c.no_shows)::bigint as no_shows,
    sum(c.notice_minutes)::bigint as notice_minutes
  from api.cancellations c
  where c.tenant_id = %(tenant_id)s and c.date between %(first_date)s and %(last_date)s
  group by grouping sets ((), (1))
),
leads as (
  select
    date_trunc(%(period)s, l.date::timestamp)::date as first_date,
    sum(l.same_day)::bigint as same_day,
    sum(l.days_1_to_6)::bigint as days_1_to_6,
    sum(l.days_7_to_29)::bigint as days_7_to_29,
    sum(l.days_30_or_more)::bigint as days_30_or_more
  from api.lead_times l
  where l.tenant_id = %(tenant_id)s and l.date between %(first_date)s and %(last_date)s
  group by grouping sets ((), (1))
)
select
  first_date,
  coalesce(appointments, 0) as appointments,
  coalesce(cancelled, 0) as cancelled,
  coalesce(cancelled_late, 0) as cancelled_late,
  coalesce(no_shows, 0) as no_shows,
  coalesce(notice_minutes, 0) as notice_minutes,
  coalesce(same_day, 0) as same_day,
  coalesce(days_1_to_6, 0) as days_1_to_6,
  coalesce(days_7_to_29, 0) as days_7_to_29,
  coalesce(days_30_or_more, 0) as days_30_or_more
from (
  select
    coalesce(l.first_date, d.first_date) as first_date, l.appointments, l.cancelled,
    l.cancelled_late, l.no_shows, l.notice_minutes, d.same_day, d.days_1_to_6, d.days_7_to_29,
    d.days_30_or_more
  from lost l
  full join leads d on coalesce(d.first_date, '-infinity') = coalesce(l.first_date, '-infinity')
) as both_of_them
order by first_date nulls first
