-- A booking system of the usual kind, to try `pgbooking adopt` on: several businesses in one
-- database, users who are staff or customers, local times without a zone, nothing that keeps two
-- appointments of one person apart.

create schema shop;

create table shop.tenants (
  id serial primary key,
  name text not null,
  subdomain text not null unique,
  tz text not null default 'Europe/Berlin'
);

create table shop.users (
  id serial primary key,
  tenant_id integer not null references shop.tenants (id),
  role text not null check (role in ('staff', 'customer')),
  first_name text not null,
  last_name text not null,
  email text,
  is_active boolean not null default true
);

create table shop.services (
  id serial primary key,
  tenant_id integer not null references shop.tenants (id),
  title text not null,
  minutes integer not null,
  price numeric(10, 2) not null default 0,
  is_active boolean not null default true
);

create table shop.working_hours (
  id serial primary key,
  user_id integer not null references shop.users (id) on delete cascade,
  dow integer not null check (dow between 0 and 6),  -- 0 is Sunday
  opens time not null,
  closes time not null
);

create table shop.absences (
  id serial primary key,
  user_id integer not null references shop.users (id) on delete cascade,
  starts_at timestamp not null,
  ends_at timestamp not null
);

create table shop.appointments (
  id bigserial primary key,
  tenant_id integer not null references shop.tenants (id),
  user_id integer not null references shop.users (id),
  service_id integer not null references shop.services (id),
  customer_id integer references shop.users (id),
  starts_at timestamp not null,
  ends_at timestamp not null,
  state text not null default 'booked'
    check (state in ('booked', 'arrived', 'done', 'cancelled', 'missed')),
  note text,
  created_by text not null,
  updated_at timestamp not null default localtimestamp
);

insert into shop.tenants (name, subdomain, tz)
values ('Salon Nord', 'nord', 'Europe/Berlin'), ('Barber Quay', 'quay', 'America/New_York');

insert into shop.users (tenant_id, role, first_name, last_name, email)
values
  (1, 'staff', 'Anna', 'Ahrens', 'anna@nord.example'),
  (1, 'staff', 'Ben', 'Brandt', 'ben@nord.example'),
  (1, 'customer', 'Carla', 'Conrad', 'carla@example.org'),
  (2, 'staff', 'Dave', 'Doyle', 'dave@quay.example'),
  (2, 'customer', 'Eve', 'Evans', 'eve@example.org');

insert into shop.services (tenant_id, title, minutes, price)
values (1, 'Cut', 30, 35), (1, 'Colour', 90, 80), (2, 'Shave', 15, 20);

insert into shop.working_hours (user_id, dow, opens, closes)
select u.id, d.dow, '09:00', '17:00'
from shop.users u
cross join generate_series(1, 5) as d(dow)
where u.role = 'staff';

insert into shop.absences (user_id, starts_at, ends_at)
select 1, d.tomorrow + time '12:00', d.tomorrow + time '13:00'
from (select current_date + 1) as d(tomorrow);

-- The next two weeks, some of them cancelled; the last of Anna's overlaps another by half.
insert into shop.appointments (
  tenant_id, user_id, service_id, customer_id, starts_at, ends_at, state, created_by
)
select 1, 1 + n % 2, 1, 3, at.time, at.time + interval '30 minutes',
  case when n % 7 = 0 then 'cancelled' else 'booked' end, 'website'
from generate_series(1, 28) as n
cross join lateral (
  select current_date + (n + 1) / 2 + time '09:00' + n % 5 * interval '1 hour' as time
) as at
union all
select 1, 1, 2, 3, current_date + 1 + time '10:15', current_date + 1 + time '11:45', 'booked', 'phone'
union all
select 2, 4, 3, 5, current_date + n + time '10:00', current_date + n + time '10:15', 'booked', 'phone'
from generate_series(1, 10) as n;

-- What its website offers in the coming week: every half hour in which nobody is booked. It forgets
-- absences, the end of what it offers, and closing time.
create view shop.free_times as
select u.tenant_id, u.id as staff, s.id as service, t.start
from shop.users u
join shop.services s on s.tenant_id = u.tenant_id
join shop.working_hours h on h.user_id = u.id
cross join generate_series(1, 7) as d(n)
cross join lateral generate_series(
  current_date + d.n + h.opens, current_date + d.n + h.closes - interval '30 minutes', '30 minutes'
) as t(start)
where u.role = 'staff' and u.is_active and s.is_active and extract(dow from t.start) = h.dow
  and not exists (
    select from shop.appointments a
    where a.user_id = u.id and a.state <> 'cancelled'
      and t.start >= a.starts_at and t.start < a.ends_at
  );
