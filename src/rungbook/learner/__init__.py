"""The training loop and what hangs on it: events, metrics, schedules, checkpoints."""
