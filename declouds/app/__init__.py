"""The page of `declouds app`: scenes are dropped into a browser, cleared on this machine, and no file is kept."""
