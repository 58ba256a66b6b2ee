"""What all experiments share: where they write, what they run on, and what a result is."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, TypeVar

from art_snn.app.annotations import Folder, Open
from art_snn.app.results import Result as Result, hold_folder
from art_snn.checks import FILE, cuts_gradients, invalid, path_kind, require
from art_snn.classifier.inputs import check_device_type
from art_snn.measuring.machine import Device, require_threads, set_threads
from art_snn.progress import silenced
from art_snn.team import Team, join

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Where an experiment writes, and what it runs on.

    The function run(settings) of every room raises a FileNotFoundError for missing data or weights,
    and a CheckpointError for weights that do not fit. It raises a ValueError when settings, data,
    network and folder do not suit each other, and a WriteFailed when it cannot write.

    :param output: folder for all results, made when missing; most interrupted runs go on from it.
    :param threads: threads of torch on the CPU [torch's own choice].
    :param device: gpu, which is cpu where there is none; or cpu.
    :param quiet: show no progress on stderr; errors and warnings remain.
    :raises ValueError: for another device, a count below 1, or an output that is a file."""

    output: Folder
    threads: Open[int] = None
    device: Device = "gpu"
    quiet: bool = False
    together: ClassVar[bool] = False
    """Whether several processes, as torchrun starts them, do it together."""

    def __post_init__(self) -> None:
        require_threads(self.threads)
        check_device_type(self.device, "device")
        places = (self.output, *self.output.parents)
        file = next((path for path in places if path_kind("output", path) == FILE), None)
        got = f"{file}, which is a file" if file else str(self.output)
        remedy = "Give the name of a folder: results are written into it."
        folder = file is None and self.output.suffix != ".json"
        require(folder, "output", "a folder, for tables, pictures and figures", got, remedy)

    def status(self, result: Any) -> int:
        """The exit status of a command with that result."""
        return 0

    def failure(self, result: Any) -> str:
        """Why that status is not 0, in lines; "" where it is."""
        return ""

    @contextmanager
    def at_work(self) -> Iterator[Team]:
        """This process is set up as the settings ask, and holds the output within the block.

        Of several processes the leading one holds it for all; where it cannot, the others leave.
        """
        set_threads(self.threads)
        with join() if self.together else nullcontext(Team()) as team, ExitStack() as stack:
            team.on_leader(lambda: stack.enter_context(hold_folder(self.output)))
            with _uncut(), silenced(self.quiet or not team.leads):
                yield team


@contextmanager
def _uncut() -> Iterator[None]:
    """A gradient that does not reach the input becomes a complaint about the network."""
    try:
        yield
    except RuntimeError as error:
        if not cuts_gradients(error):
            raise
        expected, got = "a network through which gradients pass", f"one that cuts them ({error})"
        remedy = "Look for detach, rounding or numpy between its input and its output."
        raise invalid("model", expected, got, remedy) from error


def at_work(run: "Callable[[Any], Outcome]") -> "Callable[[Any], Outcome]":
    """The function run(settings) of a room, which holds the output while it is at work."""

    @wraps(run)
    def held_run(settings: Any) -> Any:
        with settings.at_work():
            return run(settings)

    return held_run
