-- Takes the engine away again, last object first. Written by `make engine`.

set local role booking_owner;

revoke all on all tables in schema booking from anon, authenticated, service_role;

revoke all on all tables in schema api from anon, authenticated, service_role;

revoke all on all functions in schema booking from anon, authenticated, service_role;

revoke all on all functions in schema api from anon, authenticated, service_role;

revoke all on schema booking from anon, authenticated, service_role;

revoke all on schema api from anon, authenticated, service_role;

drop view api.working_hours;

drop view api.staff_appointment_types;

drop view api.staff;

drop function api.set_working_hours;

drop view api.schedule_exceptions;

drop function api.reserve_slot;

drop function api.reschedule_appointment;

drop function api.release_slot;

drop function api.record_payment;

drop function api.recalculate_availability;

drop function api.pre_request;

drop view api.locations;

drop function api.get_tenant;

drop function api.get_reservations;

drop function api.get_next_available;

drop function api.get_available_slots;

drop function api.explain_availability;

drop function api.create_appointment;

drop function api.cancel_appointment;

drop view api.busy_times;

drop view api.breaks;

drop view api.availability_slots;

drop view api.appointments;

drop view api.appointment_types;

drop policy service_does_all on booking.working_hours;

drop policy members_delete on booking.working_hours;

drop policy members_update on booking.working_hours;

drop policy members_insert on booking.working_hours;

drop policy members_read on booking.working_hours;

drop policy service_reads_all on booking.tenants;

drop policy members_read_all on booking.tenants;

drop policy everyone_reads_active on booking.tenants;

drop policy everyone_reads_all on booking.staff_appointment_types;

drop policy service_reads_all on booking.staff;

drop policy members_read_all on booking.staff;

drop policy everyone_reads_active on booking.staff;

drop policy service_does_all on booking.schedule_exceptions;

drop policy members_delete on booking.schedule_exceptions;

drop policy members_update on booking.schedule_exceptions;

drop policy members_insert on booking.schedule_exceptions;

drop policy members_read on booking.schedule_exceptions;

drop policy service_reads_all on booking.locations;

drop policy members_read_all on booking.locations;

drop policy everyone_reads_active on booking.locations;

drop policy service_does_all on booking.busy_times;

drop policy members_delete on booking.busy_times;

drop policy members_update on booking.busy_times;

drop policy members_insert on booking.busy_times;

drop policy members_read on booking.busy_times;

drop policy service_does_all on booking.breaks;

drop policy members_delete on booking.breaks;

drop policy members_update on booking.breaks;

drop policy members_insert on booking.breaks;

drop policy members_read on booking.breaks;

drop policy everyone_reads_bookable on booking.availability_slots;

drop policy service_does_all on booking.appointments;

drop policy members_update on booking.appointments;

drop policy members_insert on booking.appointments;

drop policy customers_and_members_read on booking.appointments;

drop policy service_reads_all on booking.appointment_types;

drop policy members_read_all on booking.appointment_types;

drop policy everyone_reads_active on booking.appointment_types;

drop trigger working_hours_deleted on booking.working_hours;

drop trigger working_hours_updated on booking.working_hours;

drop trigger working_hours_inserted on booking.working_hours;

drop trigger working_hours_refuse_truncate on booking.working_hours;

drop trigger working_hours_refuse_other_key on booking.working_hours;

drop trigger working_hours_3_touch_updated_at on booking.working_hours;

drop trigger working_hours_2_lock_schedule on booking.working_hours;

drop trigger working_hours_1_check_caller on booking.working_hours;

drop trigger travel_times_deleted on booking.travel_times;

drop trigger travel_times_updated on booking.travel_times;

drop trigger travel_times_inserted on booking.travel_times;

drop trigger travel_times_refuse_truncate on booking.travel_times;

drop trigger travel_times_refuse_other_key on booking.travel_times;

drop trigger travel_times_3_touch_updated_at on booking.travel_times;

drop trigger travel_times_2_lock_tenant on booking.travel_times;

drop function booking.travel_times_changed;

drop trigger tenants_updated on booking.tenants;

drop trigger tenants_refuse_truncate on booking.tenants;

drop trigger tenants_refuse_other_key on booking.tenants;

drop function booking.refuse_other_tenant_id;

drop trigger tenants_3_touch_updated_at on booking.tenants;

drop trigger tenants_1_check_time_zone_on_update on booking.tenants;

drop trigger tenants_1_check_time_zone on booking.tenants;

drop function booking.tenants_changed;

drop trigger staff_appointment_types_deleted on booking.staff_appointment_types;

drop trigger staff_appointment_types_updated on booking.staff_appointment_types;

drop trigger staff_appointment_types_inserted on booking.staff_appointment_types;

drop trigger staff_appointment_types_refuse_truncate on booking.staff_appointment_types;

drop trigger staff_appointment_types_refuse_other_key on booking.staff_appointment_types;

drop trigger staff_appointment_types_2_lock_schedule on booking.staff_appointment_types;

drop trigger staff_appointment_types_1_check_caller on booking.staff_appointment_types;

drop trigger staff_deleted on booking.staff;

drop trigger staff_updated on booking.staff;

drop trigger staff_inserted on booking.staff;

drop trigger staff_refuse_truncate on booking.staff;

drop trigger staff_refuse_other_key on booking.staff;

drop trigger staff_3_touch_updated_at on booking.staff;

drop trigger staff_2_lock_calendar on booking.staff;

drop trigger staff_2_share_tenant on booking.staff;

drop function booking.staff_deleted;

drop function booking.staff_changed;

drop function booking.create_calendar;

drop trigger slot_shapes_refuse_truncate on booking.slot_shapes;

drop trigger slot_shapes_refuse_change on booking.slot_shapes;

drop function booking.refuse_shape_change;

drop trigger slot_reservations_deleted on booking.slot_reservations;

drop trigger slot_reservations_updated on booking.slot_reservations;

drop trigger slot_reservations_inserted on booking.slot_reservations;

drop trigger slot_reservations_refuse_truncate on booking.slot_reservations;

drop trigger slot_reservations_refuse_other_key on booking.slot_reservations;

drop trigger slot_reservations_3_check_hold on booking.slot_reservations;

drop trigger slot_reservations_2_lock_calendar on booking.slot_reservations;

drop trigger slot_reservations_1_check_caller on booking.slot_reservations;

drop function booking.check_hold;

drop function booking.slot_reservations_changed;

drop trigger settings_3_touch_updated_at on booking.settings;

drop trigger schedule_exceptions_deleted on booking.schedule_exceptions;

drop trigger schedule_exceptions_updated on booking.schedule_exceptions;

drop trigger schedule_exceptions_inserted on booking.schedule_exceptions;

drop trigger schedule_exceptions_refuse_truncate on booking.schedule_exceptions;

drop trigger schedule_exceptions_refuse_other_key on booking.schedule_exceptions;

drop trigger schedule_exceptions_3_touch_updated_at on booking.schedule_exceptions;

drop trigger schedule_exceptions_2_lock_schedule on booking.schedule_exceptions;

drop trigger schedule_exceptions_1_check_caller on booking.schedule_exceptions;

drop trigger price_rules_3_touch_updated_at on booking.price_rules;

drop trigger members_3_touch_updated_at on booking.members;

drop trigger locations_deleted on booking.locations;

drop trigger locations_updated on booking.locations;

drop trigger locations_refuse_truncate on booking.locations;

drop trigger locations_refuse_other_key on booking.locations;

drop trigger locations_3_touch_updated_at on booking.locations;

drop trigger locations_1_check_time_zone_on_update on booking.locations;

drop trigger locations_1_check_time_zone on booking.locations;

drop function booking.locations_deleted;

drop function booking.locations_changed;

drop trigger calendars_refuse_truncate on booking.calendars;

drop trigger calendars_refuse_delete on booking.calendars;

drop function booking.refuse_calendar_delete;

drop trigger busy_times_deleted on booking.busy_times;

drop trigger busy_times_updated on booking.busy_times;

drop trigger busy_times_inserted on booking.busy_times;

drop trigger busy_times_refuse_truncate on booking.busy_times;

drop trigger busy_times_refuse_other_key on booking.busy_times;

drop trigger busy_times_3_touch_updated_at on booking.busy_times;

drop trigger busy_times_2_lock_calendar on booking.busy_times;

drop trigger busy_times_1_check_caller on booking.busy_times;

drop function booking.busy_times_changed;

drop trigger breaks_deleted on booking.breaks;

drop trigger breaks_updated on booking.breaks;

drop trigger breaks_inserted on booking.breaks;

drop trigger breaks_refuse_truncate on booking.breaks;

drop trigger breaks_refuse_other_key on booking.breaks;

drop trigger breaks_3_touch_updated_at on booking.breaks;

drop trigger breaks_2_lock_schedule on booking.breaks;

drop trigger breaks_1_check_caller on booking.breaks;

drop trigger audit_log_refuse_truncate on booking.audit_log;

drop trigger audit_log_refuse_change on booking.audit_log;

drop function booking.refuse_audit_change;

drop trigger appointments_recorded_on_delete on booking.appointments;

drop trigger appointments_recorded_on_update on booking.appointments;

drop trigger appointments_recorded_on_insert on booking.appointments;

drop function booking.appointments_recorded;

drop trigger appointments_deleted on booking.appointments;

drop trigger appointments_updated on booking.appointments;

drop trigger appointments_inserted on booking.appointments;

drop function booking.appointments_changed;

drop trigger appointments_refuse_truncate on booking.appointments;

drop trigger appointments_refuse_other_key on booking.appointments;

drop trigger appointments_5_touch_updated_at on booking.appointments;

drop trigger appointments_4_keep_status on booking.appointments;

drop function booking.keep_status;

drop trigger appointments_3_take_seat on booking.appointments;

drop trigger appointments_2_lock_calendar_on_update on booking.appointments;

drop trigger appointments_2_lock_calendar on booking.appointments;

drop trigger appointments_1_check_caller on booking.appointments;

drop function booking.take_seat;

drop trigger appointment_types_updated on booking.appointment_types;

drop trigger appointment_types_refuse_truncate on booking.appointment_types;

drop trigger appointment_types_refuse_class_delete on booking.appointment_types;

drop trigger appointment_types_inserted on booking.appointment_types;

drop trigger appointment_types_refuse_other_key on booking.appointment_types;

drop trigger appointment_types_3_touch_updated_at on booking.appointment_types;

drop trigger appointment_types_2_find_shape on booking.appointment_types;

drop function booking.appointment_types_changed;

drop function booking.refuse_class_delete;

drop function booking.create_group_shape;

drop function booking.find_shape;

drop function booking.finish_events;

drop function booking.take_events;

drop function booking.set_working_hours;

drop function booking.reserve_slot;

drop function booking.moved;

drop function booking.reschedule_appointment;

drop function booking.require_week;

drop function booking.refuse_changed;

drop function booking.refuse_taken;

drop function booking.is_published;

drop function booking.require_slot;

drop function booking.require_dates;

drop function booking.require_time;

drop function booking.require_date;

drop function booking.require_between;

drop function booking.require_given;

drop function booking.release_unpaid_appointments;

drop function booking.release_slot;

drop function booking.require_length;

drop function booking.refuse;

drop function booking.refusal_status;

drop function booking.refuse_calls;

drop function booking.refusal;

drop function booking.record_payment;

drop function booking.recalculate_availability;

drop function booking.queue_reminders;

drop function booking.payment_url;

drop function booking.have_same_claims;

drop function booking.offered_type;

drop function booking.require_changeable;

drop function booking.lock_appointment;

drop function booking.list_slots;

drop function booking.get_tenant;

drop function booking.get_reservations;

drop function booking.get_next_available;

drop function booking.get_available_slots;

drop function booking.free_seat;

drop function booking.find_slot;

drop function booking.find_appointment;

drop function booking.explain_availability;

drop function booking.erase_customer;

drop function booking.export_customer;

drop function booking.appointments_of_customer;

drop function booking.booked;

drop function booking.was_booked;

drop function booking.create_appointment;

drop function booking.cleanup_expired_slot_reservations;

drop function booking.check_customer;

drop function booking.cancel_appointment;

drop function booking.attempt;

drop function booking.answer;

drop function booking.schedule_changed;

drop function booking.lock_tenant_of_row;

drop function booking.lock_calendar_of_staff;

drop function booking.lock_schedule_of_row;

drop function booking.lock_calendar_of_row;

drop function booking.refresh_slots;

drop function booking.refresh_or_queue;

drop function booking.lock_tenant;

drop function booking.refresh_horizon;

drop function booking.refresh_dates;

drop function booking.refresh_around;

drop function booking.people_at;

drop procedure booking.nightly_refresh;

drop function booking.materialization_end;

drop function booking.lock_calendars;

drop function booking.is_own_version;

drop function booking.find_open_slots;

drop function booking.find_differences;

drop function booking.drop_beaten_holds;

drop procedure booking.drain_refresh_queue;

drop function booking.working_time;

drop function booking.schedule_rows;

drop function booking.published_bounds;

drop function booking.period_text;

drop function booking.local_text;

drop function booking.explain_slot;

drop function booking.expected_slots;

drop function booking.clock_segments;

drop function booking.calculate_slots;

drop function booking.calculate_slot;

drop function booking.busy_time;

drop function booking.bookable_from;

drop function booking.check_time_zone;

drop function booking.is_time_zone;

drop function booking.seconds_to_wait;

drop function booking.touch_updated_at;

drop function booking.check_caller;

drop function booking.refuse_other_key;

drop function booking.refuse_truncate;

drop function booking.custom_access_token_hook;

drop function booking.token_claims;

drop function booking.local_period;

drop function booking.iso_time;

drop function booking.first_instant;

drop function booking.address_hash;

drop function booking.client_network;

drop function booking.client_address;

drop function booking.caller_may_write;

drop function booking.caller_is_member;

drop function booking.member_staff_ids;

drop function booking.member_tenant_ids;

drop function booking.caller_memberships;

drop function booking.caller_id;

drop function booking.caller_role;

drop function booking.caller_claims;

drop function booking.cache_control;
