"""Any image as overlapping windows: tiles, noise, passes and the loop over them. No files, no GDAL."""
