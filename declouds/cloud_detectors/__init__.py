"""Cloud detectors: image in [-1, 1] -> the pixels that are cloud."""
