"""A run folder from elsewhere runs nothing: each attack is refused at every door, in one line."""

import shutil

import pytest

from lora_lightning.config.own import user_folder
from lora_lightning.errors import InputError
from lora_lightning.files import require_links_within
from tests.commands import error_of, run_command
from tests.tiny import DECODING
from tests.trust.planted import CONFIGS, DOORS, planted, rewrite, running, user_module

every_door = pytest.mark.parametrize("door", DOORS)
STORED = {
    "a class of another group": (
        "method", {"_target_": "lora_lightning.runs.folder.RefuseResults"}),
    "a detour over a module": ("method", {"_target_": "peft.os.system"}),
    "a function of an allowed package": (
        "optimizer", {"_target_": "torch.optim.lr_scheduler.warnings.warn", "message": "x"}),
    "a class in a plain key": ("model", {"path": {"_target_": "builtins.print"}}),
    "a class in a list": ("trainer", {"plugins": [{"_target_": "builtins.print"}]}),
    "a class that is worked out": ("method", {"_target_": "${name}"}),
    "positional arguments": ("method", {"_args_": [1]}),
    "a partial object": ("method", {"_partial_": True}),
    "nothing built recursively": ("loss", {"_recursive_": False}),
    "another program": ("evaluation", {"java": "/tmp/java"}),
}  # fmt: skip


@every_door
@pytest.mark.parametrize(
    "group", ["method", "data", "callbacks.x", "logger.x", "paths", "nonsense"]
)
def test_a_planted_class_is_refused(run, tmp_path, marker, door, group):
    def plant(config):
        first, _, rest = group.partition(".")
        node = running(marker)
        config[first] = {rest: node} if rest else config.get(first, {}) | node

    folder = planted(run, tmp_path / "run", plant)
    error = DOORS[door](folder, tmp_path / "output")
    for part in (
        f"{group}._target_",
        "lora_lightning.process.run_child",
        str(folder),
        "trust=true",
    ):
        assert part in error
    assert "\n" not in error


@every_door
@pytest.mark.parametrize("attack", STORED)
def test_what_would_build_or_run_something_else_is_refused(run, tmp_path, door, attack):
    group, node = STORED[attack]

    def plant(config):
        config[group] = config[group] | node

    folder = planted(run, tmp_path / "run", plant)
    error = DOORS[door](folder, tmp_path / "output")
    assert f"{group}." in error
    assert str(folder) in error


@every_door
def test_a_key_with_a_dot_in_its_name_is_refused(run, tmp_path, marker, door):
    def plant(config):
        for key, value in running(marker).items():
            config[f"callbacks.x.{key}"] = value

    folder = planted(run, tmp_path / "run", plant)
    assert "callbacks.x._target_" in DOORS[door](folder, tmp_path / "output")


@every_door
def test_a_setting_of_hydra_is_refused(run, tmp_path, marker, door):
    def plant(config):
        config["hydra"] = {"callbacks": {"x": running(marker)}}

    folder = planted(run, tmp_path / "run", plant)
    assert "'hydra' is no key" in DOORS[door](folder, tmp_path / "output")


@every_door
def test_trust_that_a_folder_claims_has_no_effect(run, tmp_path, marker, door):
    def plant(config):
        config["trust"] = True
        config["method"] |= running(marker)

    folder = planted(run, tmp_path / "run", plant)
    assert "method._target_" in DOORS[door](folder, tmp_path / "output")


@every_door
def test_modules_that_a_folder_brings_along_are_not_imported(run, tmp_path, marker, door):
    code = f"open({str(marker)!r}, 'w')\nclass Method:\n    apply = parameter_table = None\n"
    user_module(tmp_path / "run_modules", "brought_along", code)

    def plant(config):
        config["paths"]["user_dir"] = str(tmp_path / "run_modules")
        config["method"]["_target_"] = "brought_along.Method"

    folder = planted(run, tmp_path / "run", plant)
    assert "brought_along.Method" in DOORS[door](folder, tmp_path / "output")


@every_door
@pytest.mark.parametrize(
    "option", ["../../evil/lora", "/evil/lora", "pkg://evil/lora", "file://evil"]
)
def test_an_option_is_a_name_below_its_groups_folder(run, tmp_path, door, option):
    def plant(config):
        config["hydra"]["runtime"]["choices"]["method"] = option

    folder = shutil.copytree(run, tmp_path / "run")
    rewrite(folder / ".hydra" / "hydra.yaml", plant)
    assert f"method={option} is no name of an option" in DOORS[door](folder, tmp_path / "output")


@every_door
def test_a_link_that_leads_out_of_the_folder_is_refused(run, tmp_path, door):
    folder = shutil.copytree(run, tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (folder / "predictions").symlink_to(tmp_path / "mine")
    error = DOORS[door](folder, tmp_path / "output")
    assert f"{folder / 'predictions'}: a link to {tmp_path / 'mine'}" in error
    assert list((tmp_path / "mine").iterdir()) == []


@every_door
@pytest.mark.parametrize("text", ["", "- a list\n", "a: [unclosed", "hydra: {runtime: {}}", "\xff"])
def test_a_damaged_description_is_named(run, tmp_path, door, text):
    folder = shutil.copytree(run, tmp_path / "run")
    for name in (".hydra/hydra.yaml", ".hydra/config.yaml"):
        (folder / name).write_bytes(text.encode("latin-1"))
    assert f"{folder / '.hydra'}" in DOORS[door](folder, tmp_path / "output")


def test_an_id_that_would_become_a_path_is_refused(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "logger_ids.json").write_text('{"wandb": "../../evil"}')
    error = error_of("evaluate", f"run={folder}", "logger=wandb", "logger.wandb.offline=true",
                     f"output_dir={tmp_path / 'output'}")  # fmt: skip
    assert "logger_ids.json" in error


def test_what_the_command_line_names_anew_wins_over_what_is_stored(run, tmp_path, marker, capsys):
    folder = planted(run, tmp_path / "run", lambda config: config["method"].update(running(marker)))
    run_command("generate", f"run={folder}", "method=lora", "generation=greedy", "trainer=cpu",
                "text=name : X")  # fmt: skip
    own = "method._target_=lora_lightning.methods.lora_method.LoRA"
    error = error_of("generate", f"run={folder}", own, "generation=greedy", "text=name : X")
    assert "method.arguments" in error  # which is no key of that class
    assert capsys.readouterr().out


def test_trust_takes_any_class_and_leaves_no_trace(run, tmp_path):
    note = tmp_path / "built"
    user_module(tmp_path / "elsewhere", "elsewhere", f"""
from pathlib import Path
from lora_lightning.methods.lora_method import LoRA
class Elsewhere(LoRA):
    def apply(self, model):
        Path({str(note)!r}).touch()
        super().apply(model)
""")  # fmt: skip
    folder = planted(
        run, tmp_path / "run", lambda c: c["method"].update(_target_="elsewhere.Elsewhere")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path / "elsewhere"))
        arguments = ("generate", f"run={folder}", "generation=greedy", "trainer=cpu",
                     "data.limit_test=2", f"output_dir={tmp_path / 'output'}")  # fmt: skip
        assert "elsewhere.Elsewhere" in error_of(*arguments)
        assert not note.exists()
        run_command(*arguments, "trust=true")
        assert note.exists()
        assert "elsewhere.Elsewhere" in error_of(*arguments, "overwrite=true")
    written = tmp_path / "output" / ".hydra"
    assert "trust: false" in (written / "config.yaml").read_text()
    assert "trust=true" not in (written / "overrides.yaml").read_text()


def test_trust_is_true_or_false(run):
    assert "allowed is true | false" in error_of("generate", f"run={run}", "trust=perhaps")


@pytest.mark.parametrize("command", ["generate", "train"])
def test_a_resolver_in_a_folder_is_not_run_its_value_of_then_is_taken(
    run, tmp_path, command, monkeypatch
):
    monkeypatch.setenv("WANDB_API_KEY", "planted-secret")
    folder = shutil.copytree(run, tmp_path / "run")
    rewrite(folder / CONFIGS[0], lambda c: c["data"].update(max_length="${oc.env:WANDB_API_KEY}"))
    rewrite(folder / CONFIGS[1], lambda c: c["data"].update(max_length=256))
    key = "run" if command == "generate" else "resume"
    output = () if command == "train" else (f"output_dir={tmp_path / 'output'}",)
    run_command(command, f"{key}={folder}", *output, *(DECODING if output else ()))
    composed = (tmp_path / "output" if output else folder) / ".hydra" / "config.yaml"
    if output:
        assert "max_length: 256" in composed.read_text()


@every_door
def test_a_resolver_without_a_value_of_then_is_refused(run, tmp_path, door, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "planted-secret")
    folder = planted(
        run, tmp_path / "run", lambda c: c["model"].update(path="${oc.env:WANDB_API_KEY}")
    )
    error = DOORS[door](folder, tmp_path / "output")
    assert "model.path=${oc.env:WANDB_API_KEY}" in error
    assert "planted-secret" not in error


def test_the_users_own_modules_lie_in_a_folder_beside_the_configs():
    assert user_folder().name == "user"
    assert user_folder("mine").is_absolute()


def test_the_link_that_wandb_makes_is_no_way_out(tmp_path):
    own, folder = tmp_path / "cache.log", tmp_path / "run"
    own.touch()
    logs = folder / "wandb" / "run-1" / "logs"
    logs.mkdir(parents=True)
    (logs / "debug-core.log").symlink_to(own)
    require_links_within(folder, "trust=true")
    (logs / "other.log").symlink_to(own)
    with pytest.raises(InputError, match=r"other\.log: a link to"):
        require_links_within(folder, "trust=true")
