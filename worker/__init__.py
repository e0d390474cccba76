"""The Celery side: claim a unit, run one stage of `ddoq`, report progress, hold the lease."""
