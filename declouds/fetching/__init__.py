"""Dates of one place from a STAC API, cropped to a box, as files that `declouds predict` takes."""
