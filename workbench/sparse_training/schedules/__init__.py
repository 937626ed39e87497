"""Schedules by which a cut grows during training; each module with a ``METHOD`` is one."""
