"""References: one-pass networks (or pictures) that give the prior of an image."""
