set local role booking_owner;

drop table booking.price_rules;

drop table booking.travel_times;

drop table booking.busy_times;

drop table booking.schedule_exceptions;

drop table booking.breaks;

drop table booking.working_hours;
