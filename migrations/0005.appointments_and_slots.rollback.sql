set local role booking_owner;

drop table booking.refresh_queue;

drop table booking.calendars;

drop table booking.slot_reservations;

drop table booking.availability_slots;

drop table booking.appointments;
