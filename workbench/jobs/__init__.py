"""Background jobs: one at a time, each in a child process, watched by whoever submitted it."""

from workbench.jobs.job import JobState, JobView
from workbench.jobs.kept import kept_something
from workbench.jobs.process import worker_command
from workbench.jobs.registry import Jobs, Ledger

__all__ = ["JobState", "JobView", "Jobs", "Ledger", "kept_something", "worker_command"]
