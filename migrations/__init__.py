"""Alembic migrations of the job tables."""
