"""Training: MMEngine's Runner, one per stage, with a loop that resumes exactly."""
