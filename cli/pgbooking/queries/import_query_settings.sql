-- Whatever the role or the database has set: dates and times are read as ISO 8601.
set local datestyle to iso
