-- price_rules: nothing published depends on it; updated_at is kept.
create or replace trigger price_rules_3_touch_updated_at
before update on booking.price_rules
for each row execute function booking.touch_updated_at();
