"""Many runs as one experiment: sweeps over axes of a config, and tables that anyone can reproduce."""
