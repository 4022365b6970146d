-- Failing rows, too: somebody may have put right what they failed for.
update booking_adoption.queue q set retry_at = '-infinity' where q.retry_at <> '-infinity'
