-- settings: nothing published depends on it; updated_at is kept.
create or replace trigger settings_3_touch_updated_at
before update on booking.settings
for each row execute function booking.touch_updated_at();
