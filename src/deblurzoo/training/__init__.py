"""Training: module, losses, schedules, checkpoints."""
