-- members: nothing published depends on it; updated_at is kept.
create or replace trigger members_3_touch_updated_at
before update on booking.members
for each row execute function booking.touch_updated_at();
