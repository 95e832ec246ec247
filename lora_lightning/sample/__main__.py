"""Make the bundled sample data and the bundled `gpt2_tiny` anew.

    python -m lora_lightning.sample                        everything, into data/sample
    python -m lora_lightning.sample --output /tmp/sample   somewhere else
    python -m lora_lightning.sample --steps 0              no training: texts and vocabulary only

The texts and the vocabulary are the same, byte for byte, everywhere. The weights are the same to
the bit only on the same machine, number of threads (OMP_NUM_THREADS) and version of torch;
elsewhere they are as good. The committed ones were made with OMP_NUM_THREADS=1 and torch 2.13.0.
Training takes about a quarter of an hour of one CPU core.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from lora_lightning.errors import ProgramArguments
from lora_lightning.files import atomic_text
from lora_lightning.process import REPOSITORY
from lora_lightning.process.program import as_program
from lora_lightning.sample import base_text, dart, restaurants, webnlg
from lora_lightning.sample.pretrain import POSITIONS, pretrain, teach_coined_names, write_base
from lora_lightning.sample.vocabulary import train_tokenizer, write_tokenizer

OUTPUT = REPOSITORY / "data" / "sample"
COPYING = Path("base") / "gpt2_tiny"  # what model=gpt2_tiny is; older runs have the one without
SEED = 0
STEPS = 6000
COINED_STEPS = 1500
VOCABULARY_ROWS = 10_000


def main() -> None:
    """Run the command."""
    arguments = _parser().parse_args()
    for path, content in sample_files(arguments.seed).items():
        with atomic_text(arguments.output / path) as file:
            file.write(content)
        print(f"wrote {arguments.output / path}")
    folder = arguments.output / "gpt2_tiny"
    tokenizer = train_tokenizer(vocabulary_texts(arguments.seed))
    write_tokenizer(tokenizer, folder, POSITIONS)
    print(f"wrote the vocabulary into {folder}")
    if arguments.steps > 0:
        model = pretrain(tokenizer, arguments.steps, arguments.seed)
        write_base(model, folder)
        print(f"wrote the weights into {folder}")
        copying = arguments.output / COPYING
        write_tokenizer(tokenizer, copying, POSITIONS)
        coined_steps = min(COINED_STEPS, arguments.steps)
        teach_coined_names(model, tokenizer, coined_steps, arguments.seed)
        write_base(model, copying)
        print(f"wrote the weights that copy any name into {copying}")


def sample_files(seed: int) -> dict[str, str]:
    """The raw data files of the three samples, by their path under `data/sample`."""
    e2e = {
        name: "".join(f"{line}\n" for line in lines)
        for name, lines in restaurants.rows(seed).items()
    }
    folders = {"e2e": e2e, "webnlg_challenge_2017": webnlg.files(seed), "dart": dart.files(seed)}
    return {
        f"{folder}/{name}": content
        for folder, files in folders.items()
        for name, content in files.items()
    }


def vocabulary_texts(seed: int) -> Iterator[str]:
    """What the vocabulary is learned from: the base's world, and restaurants of listed names."""
    rng = Random(f"{seed} vocabulary")
    for _ in range(VOCABULARY_ROWS):
        yield from base_text.row(rng)
    for line in restaurants.rows(seed, coined_names=False)["train.txt"]:
        yield from line.split("||")


def _parser() -> ProgramArguments:
    parser = ProgramArguments(__doc__)
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="folder to write into (default: data/sample)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of it all (default: {SEED})")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help=f"training steps of the base (default: {STEPS})"
    )
    return parser


if __name__ == "__main__":
    with as_program():
        main()
