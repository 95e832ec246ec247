"""Write docs/config.md, the page of every key, or check that it is current.

python -m lora_lightning.config_reference            # or: make docs
python -m lora_lightning.config_reference --check    # exit code 1 where the page is not current
"""

import sys

from lora_lightning.config.reference import reference
from lora_lightning.errors import InputError, ProgramArguments
from lora_lightning.files import atomic_text
from lora_lightning.process import REPOSITORY
from lora_lightning.process.program import as_program

PAGE = REPOSITORY / "docs" / "config.md"


def main() -> None:
    """Write the page, or check it.

    Raises:
        InputError: the page is not current, or this is no checkout.
    """
    parser = ProgramArguments(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    if not PAGE.is_file():
        raise InputError(f"{PAGE}: not here; the page is made in a checkout of the repository")
    if not check:
        with atomic_text(PAGE) as file:
            file.write(reference())
        sys.stdout.write(f"{PAGE}\n")
    elif PAGE.read_text(encoding="utf-8") != reference():
        raise InputError(f"{PAGE} is not current; run make docs")


if __name__ == "__main__":
    with as_program():
        main()
