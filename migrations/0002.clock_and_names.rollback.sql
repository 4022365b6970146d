set local role booking_owner;

drop function booking.is_whole_minute(time);

drop function booking.whole_minutes(timestamptz, timestamptz);

drop function booking.claim_of(timestamptz, timestamptz, integer, integer);

drop function booking.is_slot_id(uuid);

drop function booking.slot_id(uuid, uuid, uuid, timestamptz, uuid);

drop function booking.now();
