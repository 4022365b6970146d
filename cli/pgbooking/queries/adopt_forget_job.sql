delete from booking.jobs where name = 'follow_old_system'
