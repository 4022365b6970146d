select m.content from booking_adoption.map m
