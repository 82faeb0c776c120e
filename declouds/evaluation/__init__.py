"""Image quality, in the two protocols `official` and `standard`."""
