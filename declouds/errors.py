"""The exception for errors the user can fix, and helpers for its messages."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """An error in the user's input, as one line: what is wrong, where, and the fix.

    The command line prints only the message and exits with code 2. Any other exception is a bug in declouds.
    """


def nearest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return the known names spelt similarly to ``name``, the closest first."""
    return difflib.get_close_matches(name, list(known), n=max(most, 1), cutoff=0.5)


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """Return ``did you mean 'x'? ``, to be put before the fix, or an empty string if no name is similar."""
    near = [repr(candidate) for candidate in nearest(name, known, most)]
    return f"did you mean {' or '.join(near)}? " if near else ""


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names as text, with the total count if there are more."""
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed}, ... ({len(names)} in all)"
