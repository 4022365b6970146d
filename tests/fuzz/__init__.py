"""Input that nobody would write, and what becomes of it.

corpus/ has inputs by hand, and each that has ever found something; they are tried first in every
run. The others are made of them by mutating.py. What fails is printed and saved, with the place
where it belongs in the corpus.

PGBOOKING_CASES   how many calls are made (default 2,000), a quarter as many CSV files and
                  calendars, and an eighth as many maps
PGBOOKING_SEED    which ones
"""
