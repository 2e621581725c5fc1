"""How networks are trained: module, losses, schedules, checkpoints."""
