"""The exceptions that the commands turn into one line: bad input, and an interruption."""

import signal


class InputError(Exception):
    """Something that the user gave is wrong.

    The message names the file, line or config key, what was found, and what to do. The commands
    print it as one line and end with exit code 1; everything else keeps its traceback.
    """


class Interrupted(Exception):
    """A signal ended training, after its state was saved.

    The commands print the message as one line and end with the exit code that shells give to a
    process ended by that signal, 128 + its number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal.Signals(signal_number)
