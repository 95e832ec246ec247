"""The one exception for bad input."""


class InputError(Exception):
    """Something that the user gave is wrong.

    The message names the file, line or config key, what was found, and what to do. The commands
    print it as one line and end with exit code 1; everything else keeps its traceback.
    """
