"""References: one-pass networks, or image files, that provide the prior."""
