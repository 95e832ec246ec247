"""Draw the README's pictures anew: of a run, its report, and a sweep over LoRA's rank.

    python -m docs.pictures

Trains the quickstart and a small sweep on the bundled sample, some minutes, below outputs/. Pages
are shown by Debian's chromium (apt install chromium).
"""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from lora_lightning.errors import InputError, ProgramArguments, one_line_errors
from lora_lightning.process import REPOSITORY, now
from lora_lightning.process.children import show_child

PICTURES = REPOSITORY / "docs" / "pictures"
SCREEN = {"width": 1280, "height": 1500}
SWEEP = ("-m", "method.rank=1,4,16", "seed=0,1", "trainer.max_steps=60")


def main() -> None:
    """Train, and copy what the commands drew."""
    ProgramArguments(__doc__).parse_args()
    name = now()
    run, sweep = (Path("outputs", "train", f"{kind}_{name}") for kind in ("run", "sweep"))
    common = ("experiment=quickstart", "trainer=cpu")
    scored = ("then=[generate,evaluate]", "generation.num_return=3")
    show_child("train.py", *common, *scored, f"output_dir={run}")
    show_child("-m", "lora_lightning.report", f"run={run}")
    show_child("train.py", *SWEEP, *common, f"output_dir={sweep}")
    show_child("-m", "lora_lightning.sweep", "plot", str(sweep))
    PICTURES.mkdir(exist_ok=True)
    for drawn, picture in (
        (run / "loss.png", "run.png"),
        (sweep / "plots" / "objective_over_method.rank.png", "sweep.png"),
    ):
        shutil.copyfile(REPOSITORY / drawn, PICTURES / picture)
    show(REPOSITORY / run / "report.html", PICTURES / "report.png")
    show(REPOSITORY / sweep / "sweep.html", PICTURES / "sweep_page.png")


def show(page: Path, picture: Path) -> None:
    """Take a picture of a page as a browser shows its beginning."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise InputError("chromium is not here; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport=SCREEN)  # type: ignore[arg-type]
        opened.goto(page.as_uri())
        opened.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    with one_line_errors():
        main()
