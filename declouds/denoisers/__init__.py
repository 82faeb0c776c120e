"""Denoisers: conditional predictors of the noise, or of the clear image, in x_t."""
