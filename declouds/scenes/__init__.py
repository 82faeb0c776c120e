"""Images of any size: overlapping windows, start noise tied to the pixel, GeoTIFF in and GeoTIFF out."""
