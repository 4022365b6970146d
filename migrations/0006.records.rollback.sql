set local role booking_owner;

drop table booking.rate_limits;

drop table booking.verification_differences;

drop table booking.verification_runs;

drop table booking.job_runs;

drop table booking.jobs;

drop table booking.events;

drop table booking.audit_log;
