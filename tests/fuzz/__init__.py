"""Input that nobody would write, and what becomes of it.

corpus/ has inputs by hand, and each that has ever found something; they are tried first in every
run. The others are made of them by mutating.py. What fails is printed and saved, with the place
where it belongs in the corpus.

PGBOOKING_CASES   how many are made (default 2,000): half of it CSV, half iCalendar, a quarter maps,
                  and so many calls
PGBOOKING_SEED    which ones
"""
