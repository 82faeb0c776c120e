"""Building blocks shared by denoisers, references and fusions."""
