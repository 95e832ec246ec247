"""A class of the user's own as method: it takes its own arguments, and none of LoRA's."""

from lora_lightning.cli.grammar import sweeps
from lora_lightning.config.arguments import arguments_of, is_ours, target_of
from lora_lightning.config.typed import text_of
from lora_lightning.errors import InputError

TARGET = "method._target_"
OPTION = "method=own"
OF_PEFT = ("method.config.", "method.config=")
BY_DEFAULT = "rank"  # an argument of the method that stands there by default


def with_own_method(arguments: list[str]) -> list[str]:
    """Return a command line in which a class that `method._target_` names stands alone.

    A class that takes LoRA's arguments takes their defaults, too, as does whatever comes behind an
    option that is given. Any other has those of its arguments that are given.
    """
    # Which arguments a configuration of PEFT has, no option says.
    arguments = ["++" + a.lstrip("+") if a.lstrip("+").startswith(OF_PEFT) else a
                 for a in arguments]  # fmt: skip
    given = {a.partition("=")[0].lstrip("+"): a for a in arguments if "=" in a}
    target = given.get(TARGET, "=").partition("=")[2]
    is_option_given = {"method", "run", "resume"} & set(given)
    if not target or is_option_given or any(map(sweeps, [given[TARGET]])):
        return arguments
    try:
        owner = target_of("method", {"_target_": text_of(target)})
    except InputError:
        return arguments  # the check of the whole config says it
    wanted = arguments_of(owner)
    if is_ours(owner) or wanted.takes_any or BY_DEFAULT in wanted.keys:
        return arguments
    return [OPTION, *("++" + a.lstrip("+") if a.startswith(("method.", "+method.")) else a
                      for a in arguments)]  # fmt: skip
