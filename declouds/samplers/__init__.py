"""Samplers: from noise to a clear image, by calls of ``denoise``."""
