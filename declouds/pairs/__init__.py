"""Cloudy/clear pairs on disk: finding, splitting and checking them. Nothing here needs torch, so it starts at once."""
