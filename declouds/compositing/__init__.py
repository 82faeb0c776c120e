"""One clear image from several dates: colour matching, co-registration and the choice of dates, on arrays alone."""
