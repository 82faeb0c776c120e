"""Samplers: from noise to a clear image, through a `denoise` callable."""
