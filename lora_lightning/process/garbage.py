"""Python's search for garbage, put off while a command imports.

Nothing that is imported is garbage, but a search looks at all of it, again and again as it grows: a
fifth of a command's start. Afterwards it is looked at no more.
"""

import gc


def put_off() -> None:
    """Search for no garbage until `take_up`."""
    gc.disable()


def take_up() -> None:
    """Search from now on, in what is made from now on; nothing where the search was not put off."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
