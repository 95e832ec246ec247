"""Look whether this machine can do what the commands need, and say how to mend what it cannot.

    python -m lora_lightning.doctor [--json] [paths.output_dir=<folder of the runs>]

One line a check: ok, warning or error, what was looked at, what was found, and after -> the exact
mend; with --json all of it as one line of JSON. The exit code is 1 where a line says error, else 0.
Nothing is downloaded or changed; it takes some ten seconds.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from lora_lightning.cli.environment import load_environment
from lora_lightning.config.typed import as_given
from lora_lightning.doctor import machine, project
from lora_lightning.doctor.finding import Finding
from lora_lightning.errors import InputError, ProgramArguments
from lora_lightning.process import workspace
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started

Check = Callable[[], Finding]

DISK = "disk"
OUTPUTS = "paths.output_dir"
CHECKS: dict[str, Check] = {
    "python": machine.python,
    "torch": machine.torch_version,
    "devices": machine.devices,
    "bf16": machine.bf16,
    "java": machine.java,
    "gloo": machine.gloo,
    DISK: machine.disk,
    "sample data": project.sample_data,
    "e2e": lambda: project.public_data("e2e"),
    "webnlg": lambda: project.public_data("webnlg"),
    "dart": lambda: project.public_data("dart"),
    "bundled base": project.bundled_base,
    "GPT-2": project.hub_bases,
    "hydra plugins": project.hydra_plugins,
    "wandb": project.wandb_login,
}


def main() -> int:
    """Run all checks, print a line each in their order, and return the exit code.

    Raises:
        InputError: an argument is wrong, or `.env` is damaged.
    """
    parser = ProgramArguments(as_started(__doc__))
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("settings", nargs="*", help=f"{OUTPUTS}=<folder of the runs>")
    options = parser.parse_args()
    prints_json, given = options.json, options.settings
    for argument in given:
        if not argument.startswith(f"{OUTPUTS}="):
            raise InputError(f"{argument}: unknown; {OUTPUTS}=<folder> alone may be given")
    load_environment(workspace() / ".env")
    checks = CHECKS | {DISK: lambda: machine.disk([*map(as_given, given)])} if given else CHECKS
    findings = []
    # At once, as the slow ones wait for processes of their own: Java and two ranks.
    with ThreadPoolExecutor() as threads:
        for finding in threads.map(examine, checks, checks.values()):
            if not prints_json:
                sys.stdout.write(f"{finding.line()}\n")
                sys.stdout.flush()
            findings.append(finding)
    counts = {mark: sum(f.mark == mark for f in findings) for mark in ("ok", "warning", "error")}
    if prints_json:
        report = {"findings": [asdict(finding) for finding in findings], "counts": counts}
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(", ".join(f"{count} {mark}" for mark, count in counts.items()) + "\n")
    return int(counts["error"] > 0)


def examine(name: str, check: Check) -> Finding:
    """Return what `check` finds; that it fails itself is a finding too."""
    try:
        return check()
    except Exception as error:  # a broken installation can raise anything
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding("error", name, text, project.REINSTALL)


if __name__ == "__main__":
    with as_program():
        sys.exit(main())
