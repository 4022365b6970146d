select booking.now()
