"""The one exception that means: the input is at fault, and here is the fix."""


class UserError(Exception):
    """A fault in what the user gave, worded as one line: what is wrong, where, and what to do.

    The command line prints the message alone and exits with code 2. Anything else that is raised is a bug of ours.
    """
