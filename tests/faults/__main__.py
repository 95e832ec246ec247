"""Let faults befall the commands at random moments, restart them, and compare what they end with.

python -m tests.faults                     # 320 tries of a random seed, an hour at most
python -m tests.faults --write             # and write docs/faults.md
python -m tests.faults --seed 7 --only 12  # one try again
"""

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from lora_lightning.errors import ProgramArguments, one_line_errors
from tests.faults import forking, kinds
from tests.faults.page import COUNTED, page, write_page
from tests.faults.running import MOMENT, PATIENCE
from tests.faults.scenarios import all_scenarios
from tests.faults.tries import Undisturbed, draw, make_try


def main(arguments):
    """Run the tries, and return the exit code: 1 where one of them did not hold."""
    parser = ProgramArguments(__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of all that is drawn")
    parser.add_argument("--tries", type=int, default=320, help="how many")
    parser.add_argument("--only", type=int, nargs="+", help="the numbers of these tries alone")
    parser.add_argument("--quick", action="store_true",
                        help="neither Java nor Pythons of their own: seconds a try")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    given = parser.parse_args(arguments)
    seed = int.from_bytes(os.urandom(3)) if given.seed is None else given.seed
    numbers = given.only or range(given.tries)
    began = time.monotonic()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    forking.import_everything()
    seconds_of_start = time.monotonic() - began
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    may_mount = kinds.small_disk(folder / "disk") and kinds.mount(
        str(folder / "disk"), program="umount"
    )
    undisturbed = Undisturbed(folder / "undisturbed", seconds_of_start)
    scenarios = all_scenarios(undisturbed.predictions())
    undisturbed.of(next(s for s in scenarios if s.name == "generate, 1 rank"))
    scenarios = [s for s in scenarios if s.is_quick or not given.quick]
    faults = kinds.all_faults(may_mount)
    say(f"seed {seed}, {len(numbers)} tries in {folder}")
    outcomes = []
    for number in numbers:
        drawn, scenario, fault = draw(seed, number, scenarios, faults)
        start = time.monotonic()
        try_folder = folder / f"try-{number}"
        outcome = make_try(drawn, scenario, fault, undisturbed, try_folder, not given.quick)
        outcomes.append(outcome)
        how = "as Pythons of their own" if outcome.is_real else "as forks"
        say(f"{number:4} {scenario.name}: {fault.name}, {how}, {time.monotonic() - start:.0f} s")
        if not outcome.is_good or given.only:
            say(outcome.log)
            for name in COUNTED:
                for what in getattr(outcome, name):
                    say(f"     {name}: {what}")
            quick = " --quick" if given.quick else ""
            say(f"     again: python -m tests.faults --seed {seed} --only {number}{quick}")
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor_seconds = sum(one.ru_utime + one.ru_stime for one in usage)
    say(f"{time.monotonic() - began:.0f} s, {processor_seconds:.0f} s of processors")
    content = page(outcomes, seed, may_mount, PATIENCE, MOMENT)
    say(content)
    if given.write:
        write_page(content)
    all_good = all(outcome.is_good for outcome in outcomes)
    if all_good:
        shutil.rmtree(folder)
    return 0 if all_good else 1


def say(line):
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
