"""The one exception that means: the input is at fault, and here is the fix; and what its messages are made of."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """A fault in what the user gave, worded as one line: what is wrong, where, and what to do.

    The command line prints the message alone and exits with code 2. Anything else that is raised is a bug of ours.
    """


def nearest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return the known names that are spelt like ``name``, the nearest first."""
    return difflib.get_close_matches(name, list(known), n=max(most, 1), cutoff=0.5)


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """Return ``did you mean 'x'? `` to be put before the remedy, or nothing if no name is like it."""
    near = [repr(one) for one in nearest(name, known, most)]
    return f"did you mean {' or '.join(near)}? " if near else ""


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names as text, and how many there are in all."""
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed}, ... ({len(names)} in all)"
