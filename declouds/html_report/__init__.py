"""The results of runs as a folder with a page: figures, pictures and curves, readable without a network."""
