"""Training: one MMEngine Runner per stage, with exact resume."""
