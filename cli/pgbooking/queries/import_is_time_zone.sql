select booking.is_time_zone(%(time_zone)s)
