"""Checks of what the commands read: data, base weights, plugins, the W&B account."""

from importlib import import_module

from lora_lightning.doctor.finding import Finding
from lora_lightning.errors import InputError
from lora_lightning.process import IS_INSTALLED, REPOSITORY, workspace

SAMPLE = REPOSITORY / "data" / "sample"
FOLDERS = {"e2e": "e2e", "webnlg": "webnlg_challenge_2017", "dart": "dart"}
BASES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
REINSTALL = (
    "install the package again, from where it came"
    if IS_INSTALLED
    else "pip install -c constraints.txt -e '.[dev]'"
)
RESTORE = REINSTALL if IS_INSTALLED else "git checkout data/sample"
PLUGINS = {
    "search": "hydra_plugins.lora_lightning_search",
    "joblib": "hydra_plugins.hydra_joblib_launcher.joblib_launcher",
    "submitit": "hydra_plugins.hydra_submitit_launcher.submitit_launcher",
}


def sample_data() -> Finding:
    """Read the bundled samples as the commands do."""
    from lora_lightning.data.sets import dart, e2e, webnlg

    sets = {
        "e2e": (e2e.FILES, e2e.read_e2e),
        "webnlg": (webnlg.FILES, webnlg.read_webnlg),
        "dart": (dart.FILES, dart.read_dart),
    }
    counts = []
    try:
        for name, (raw, read) in sets.items():
            files = [SAMPLE / FOLDERS[name] / file.name for file in raw.values()]
            counts.append(f"{name} {sum(len(read(file)) for file in files)}")
    except InputError as error:
        return Finding("error", "sample data", str(error), RESTORE)
    return Finding("ok", "sample data", f"rows read: {', '.join(counts)}")


def public_data(name: str) -> Finding:
    """Compare the raw files of a public data set with their published checksums."""
    from lora_lightning.data.sources import find, is_published

    files = list(import_module(f"lora_lightning.data.sets.{name}").FILES.values())
    folder = workspace() / "data" / "raw" / FOLDERS[name]
    paths = {file: find(folder, file.name) for file in files}
    missing = [file.name for file, path in paths.items() if path is None]
    changed = [
        path.name
        for file, path in paths.items()
        if path is not None and not is_published(file, path)
    ]
    if changed:
        text = f"{', '.join(changed)} in {folder} differ from the published files"
        return Finding(
            "error", name, text, f"remove them: data={name} downloads them anew (or data.dir=…)"
        )
    if missing:
        text = f"not here yet: {', '.join(missing)}"
        return Finding(
            "warning", name, text, f"data={name} downloads them; offline put them into {folder}"
        )
    return Finding("ok", name, f"{len(files)} files with the published checksums in {folder}")


def bundled_base() -> Finding:
    """Load the bundled bases and their tokenizers."""
    from lora_lightning.data.tokenizer import load_tokenizer
    from lora_lightning.gpt2.load import load_base

    parameters = []
    for folder in (SAMPLE / "base" / "gpt2_tiny", SAMPLE / "gpt2_tiny"):  # today's, older runs'
        try:
            model = load_base(str(folder))
            load_tokenizer(folder)
        except InputError as error:
            return Finding("error", "bundled base", str(error), RESTORE)
        parameters.append(sum(parameter.numel() for parameter in model.parameters()))
    return Finding("ok", "bundled base", f"gpt2_tiny loads, {parameters[0]:,} parameters")


def hub_bases() -> Finding:
    """Look which pretrained bases the Hugging Face cache holds."""
    from lora_lightning.gpt2.hub import cached_folder

    cached = [name for name in BASES if cached_folder(f"openai-community/{name}") is not None]
    missing = [name for name in BASES if name not in cached]
    if not cached:
        return Finding(
            "warning",
            "GPT-2",
            "no pretrained base in the Hugging Face cache yet",
            "hf download openai-community/gpt2-medium, or model.path=<folder>",
        )
    later = f"; fetched when asked for: {', '.join(missing)}" if missing else ""
    return Finding("ok", "GPT-2", f"in the cache: {', '.join(cached)}{later}")


def hydra_plugins() -> Finding:
    """Import the plugins of sweeps, and what the search needs."""
    try:
        for module in PLUGINS.values():
            import_module(module)
        for module in ("cmaes", "scipy.stats"):
            import_module(module)
        import_module("optuna").storages.RDBStorage("sqlite:///:memory:")
    except Exception as error:  # wrong versions fail in many ways
        text = f"sweeps are limited: {type(error).__name__}: {' '.join(str(error).split())}"
        return Finding("warning", "hydra plugins", text, REINSTALL)
    return Finding("ok", "hydra plugins", f"{', '.join(PLUGINS)}; Optuna stores into SQLite")


def wandb_login() -> Finding:
    """Look whether Weights & Biases has a key, without asking for one."""
    from lora_lightning.tracking.wandb_account import fault_of_key, wandb_mode

    if (mode := wandb_mode()) != "online":
        return Finding("ok", "wandb", f"{mode} by its own settings: no key needed")
    if (fault := fault_of_key()) is None:
        return Finding("ok", "wandb", "a key is there: logger=wandb works")
    return Finding(
        "warning",
        "wandb",
        f"no key, so logger=wandb works offline only ({fault})",
        "wandb login, or logger.wandb.offline=true, or logger=csv",
    )
