"""`declouds new`: the first files of a plugin."""
