select booking_adoption.follow_tenant('', %(content)s)
