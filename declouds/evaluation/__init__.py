"""Evaluation of image quality by the protocols `official` and `standard`."""
