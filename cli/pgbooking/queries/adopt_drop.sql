drop schema booking_adoption cascade
