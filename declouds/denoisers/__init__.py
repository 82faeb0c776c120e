"""Denoisers: conditional networks that predict the noise, the clear image or the velocity from x_t."""
