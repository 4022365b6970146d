"""pgbooking: availability slots and race-safe booking inside PostgreSQL."""

__version__ = "0.2.0.dev0"
