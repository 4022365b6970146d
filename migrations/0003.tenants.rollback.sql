set local role booking_owner;

drop table booking.staff_appointment_types;

alter table booking.slot_shapes drop constraint group_shape_belongs_to_an_appointment_type;

drop table booking.appointment_types;

drop table booking.slot_shapes;

drop table booking.members;

drop table booking.staff;

drop table booking.locations;

drop table booking.settings;

drop table booking.tenant_slugs;

drop table booking.tenants;
