select booking_adoption.follow_queued()
