-- For this transaction: dates and times as texts in ISO 8601, whatever the server's habit.
select set_config('datestyle', 'ISO, YMD', true)
