"""Everything that goes through GDAL: scenes opened, read, masked and written."""
