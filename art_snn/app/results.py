"""Results of commands: how they are shown, written, read again, and whose folder they are in."""

import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_origin

import cattrs
import numpy as np
import torch
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from filelock import FileLock, Timeout
from numpy import ndarray

from art_snn.app.settings import Run
from art_snn.app.tables import Form, Part, render
from art_snn.attacks import Outcome
from art_snn.checks import cuts_gradients, invalid, printable, refusing, require, truncate
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.distributed import ProcessGroup, join
from art_snn.dynamics import Values
from art_snn.files import (
    UNFINISHED,
    atomic_write,
    digest,
    read_json,
    write_json,
    write_text,
)
from art_snn.findings import Finding
from art_snn.metrics import Robustness, Share
from art_snn.progress import SILENT
from art_snn.running.context import set_in_block
from art_snn.seeding import fix_seed

_LOCK = ".lock"
"""File in a folder that a run holds."""
_FAILED = 3
"""Exit status where a check failed."""
_SCHEMA = 1
"""Number of the form that results have as JSON: a new form has a new number."""


def booleans(text: str) -> ndarray:
    """Booleans (N,) of one digit each, as :func:`as_json` writes them."""
    return np.array([digit == "1" for digit in text], dtype=bool)


Measured = Annotated[float, "NaN and infinities among them"]
"""A number that was measured, finite or not."""


def expect(holds: object, expected: str, value: object) -> None:
    """Raise a ValueError, to which :func:`from_json` adds the field, unless something holds."""
    if not holds:
        raise ValueError(
            f"expected {expected}, got {truncate(json.dumps(value, default=repr))}"
        )


_PLAIN = {int: "a whole number", bool: "true or false", str: "a text"}


def _read_plain(value: Any, kind: Any) -> Any:
    fits = type(value) is kind and (kind is not int or abs(value) < 2**63)
    expect(fits, _PLAIN[kind], value)
    return printable(value) if kind is str else value


def _read_number(value: Any, kind: Any) -> Any:
    number = type(value) in (int, float) and (kind == Measured or math.isfinite(value))
    expect(number, "a number", value)
    # A whole number stays one, so that it is written again as it was.
    return value


def _read_array(content: Any, kind: Any) -> ndarray:
    """An array of the dtype that its annotation names, booleans where it names none."""
    dtype = next((get_args(part)[0] for part in get_args(kind)[1:]), np.bool_)
    if dtype is np.bool_:
        digits = isinstance(content, str) and set(content) <= {"0", "1"}
        expect(digits, "digits 0 and 1", content)
        return booleans(content)
    expect(isinstance(content, list), "a list of numbers", content)
    kind = list[int] if dtype is np.int64 else list[Measured]
    return np.array(converter.structure(content, kind), dtype=dtype)


def _is_array(kind: Any) -> bool:
    return ndarray in (kind, get_origin(kind))


def _write_array(array: ndarray) -> Any:
    """Booleans as a text of one digit each, numbers as a list."""
    return "".join(np.where(array, "1", "0")) if array.dtype == bool else array.tolist()


def _write_robustness(one: Robustness) -> dict[str, Any]:
    """The shares, which people read, and the samples that they count."""
    samples = {"correct": _write_array(one.correct), "robust": _write_array(one.robust)}
    return one.as_dict() | samples


def _make_converter() -> cattrs.Converter:
    """A converter that knows every kind of value that results hold."""
    made = cattrs.Converter()
    for kind in _PLAIN:
        made.register_structure_hook(kind, _read_plain)
    made.register_structure_hook(float, _read_number)
    made.register_structure_hook_func(lambda kind: kind == Measured, _read_number)
    made.register_structure_hook_func(_is_array, _read_array)
    made.register_unstructure_hook_func(_is_array, _write_array)
    made.register_unstructure_hook(Share, Share.as_dict)
    made.register_unstructure_hook(Values, lambda values: values.numbers.tolist())
    made.register_unstructure_hook(Robustness, _write_robustness)

    # Adversarials are arrays in files of their own.
    made.register_unstructure_hook(
        Outcome, make_dict_unstructure_fn(Outcome, made, adversarials=override(omit=True))
    )
    evidence = override(
        struct_hook=lambda value, _: made.structure(value, dict[str, Measured])
    )
    made.register_structure_hook(
        Finding, make_dict_structure_fn(Finding, made, evidence=evidence)
    )
    return made


converter = _make_converter()
"""The converter of results into JSON and back."""


def as_json(content: object) -> Any:
    """The content as JSON gives it back: dicts, lists, strings and numbers."""
    return json.loads(json.dumps(converter.unstructure(content)))


def fingerprint(
    settings: object, classifier: PyTorchSpikingClassifier, x: ndarray, y: ndarray
) -> str:
    """A key that changes with settings (their repr), network, weights, clip values and samples.

    Of a network with code of the user it also changes with the file that built it, and
    with the predicted classes of the first 32 samples. Logits do not count: their last
    bits depend on processor and threads."""
    network = classifier.model
    limits = classifier.clip_values
    ends = None if limits is None else [np.asarray(limit).tolist() for limit in limits]
    parts = [*network.state_dict().values(), x, y]
    packages = {type(module).__module__.partition(".")[0] for module in network.modules()}
    if len(x) and (network.body.origin or packages - {"art_snn", "torch"}):
        with fix_seed(0):
            parts.append(classifier.predict(x[:32], batch_size=1).argmax(1))
    return digest((settings, *network.body.digest_parts(), ends), *parts)


def weights_digest(classifier: PyTorchSpikingClassifier) -> str:
    """Digest of a network's form and weights, 16 hexadecimal digits."""
    x = np.zeros((0, *classifier.input_shape), np.float32)
    return fingerprint("weights", classifier, x, np.zeros(0, np.int64))[:16]


def write_result(file: Path, content: Mapping[str, Any]) -> None:
    """Write results as JSON, with the number of their schema."""
    write_json(file, {"schema": _SCHEMA, **content})


def read_result(file: Path, kind: Any = dict) -> Any:
    """The results in a JSON file as an object of that kind; dict leaves them as they are.

    :raises ValueError: for another schema or none, and as :func:`from_json`."""
    content = read_json(file)
    schema = content.pop("schema", None) if isinstance(content, dict) else _SCHEMA
    if schema != _SCHEMA:
        number = "no number" if schema is None else f"the number {truncate(repr(schema))}"
        raise ValueError(f"has {number} as its schema; this version reads {_SCHEMA}")
    return from_json(content, kind)


def from_json(content: object, kind: Any) -> Any:
    """The content of a JSON file as an object of that kind.

    :raises ValueError: naming the first field that is missing or holds something else."""

    def reason(error: BaseException, _: object) -> str:
        if isinstance(error, KeyError):
            return "missing"
        ours = isinstance(error, ValueError) and str(error).startswith("expected")
        return str(error) if ours else "expected another kind of value"

    try:
        expect(isinstance(content, dict), "an object of named fields", content)
        return converter.structure(content, kind)
    except Exception as error:
        # cattrs collects whatever the fields raise, and tells where each of them lies.
        first, _, place = cattrs.transform_error(error, "", reason)[0].rpartition(" @ ")
        field = f"its field {place.lstrip('.')}: " if place else ""
        raise ValueError(f"cannot be read ({field}{first})") from error


def _free_folder(folder: Path) -> str:
    """The next name after a folder's that no file has: results-2, results-3, ..."""
    names = (f"{folder}-{number}" for number in itertools.count(2))
    return next(name for name in names if not Path(name).exists())


def load_previous(file: Path, what: str, kind: type, key: str) -> Any:
    """Earlier results as an object of that kind, None where there are none.

    :param what: the kind of results, for the complaint.
    :param key: that they have where they are of the same settings, weights and samples.
    :raises ValueError: when the file is damaged, naming the field, or holds anything else."""
    if not file.exists():
        return None
    expected = f"a folder without results, or with results of the same {what}"
    remedy = f"Give --output {_free_folder(file.parent)}, or delete that file."
    try:
        result = read_result(file, kind)
    except (ValueError, OSError) as error:
        raise invalid("output", expected, f"{file}, which {error}", remedy) from error
    require(
        result.key == key,
        "output",
        expected,
        f"{file} of other settings, code, weights or samples",
        remedy,
    )
    return result


class Result(ABC):
    """Results of a command: paragraphs, tables, and all figures as JSON."""

    name: ClassVar[str]
    """Of its files: name.json, name.md, name.png."""

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """Paragraphs and tables, in the order of reading."""

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return as_json(self)  # type: ignore[no-any-return]  # A dataclass becomes a dict.

    @property
    def files(self) -> Sequence[str]:
        """Names of the files that :meth:`write` writes."""
        drawn = self.draw() is not None
        return [f"{self.name}.{end}" for end in ("json", "md", *["png"] * drawn)]

    def failures(self) -> Sequence[tuple[int, str]]:
        """Exit statuses of the command, each with its reason in a line; the smallest one counts."""
        return ()

    def render(self, form: Form = "text") -> str:
        """Paragraphs and tables as one text."""
        return render(self.parts(), form)

    def draw(self) -> Any:
        """The picture, a figure of matplotlib; None where there is none."""
        return None

    def write(self, folder: Path) -> None:
        """Write all files into the folder."""
        write_result(folder / f"{self.name}.json", self.as_dict())
        write_text(folder / f"{self.name}.md", self.render("markdown"))
        if (picture := self.draw()) is not None:
            with atomic_write(folder / f"{self.name}.png") as partial:
                picture.savefig(partial, format="png", dpi=150)


@dataclass(frozen=True)
class Printed(Result):
    """The result of a command that prints, and writes its files by itself.

    :param content: for the terminal.
    :param files: names of files next to the output.
    :param failed: checks that failed, a line each."""

    content: Sequence[Part]
    files: Sequence[str] = ()
    failed: Sequence[str] = ()

    def parts(self) -> Sequence[Part]:
        """Sentences and tables for the terminal."""
        return self.content

    def failures(self) -> Sequence[tuple[int, str]]:
        """The checks that failed, with status 3."""
        return [(_FAILED, line) for line in self.failed]


@contextmanager
def run_folder(settings: Run, together: bool = False) -> Iterator[ProcessGroup]:
    """This process is set up as the settings ask, and holds the output within the block.

    :param together: whether several processes, as torchrun starts them, do it together.
        The leading one holds the output for all; where it cannot, the others leave.
    :raises ArgumentError: when the folder cannot be written into, another run holds it,
        or a gradient does not reach the input."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with (
        join() if together else nullcontext(ProcessGroup()) as group,
        set_in_block(SILENT, settings.quiet or not group.leads),
        ExitStack() as stack,
    ):
        group.on_leader(lambda: stack.enter_context(_hold_folder(settings.output)))
        try:
            yield group
        except RuntimeError as error:
            if not cuts_gradients(error):
                raise
            raise invalid(
                "model",
                "a network through which gradients pass",
                f"one that cuts them ({error})",
                "Look for detach, rounding or numpy between its input and its output.",
            ) from error


@contextmanager
def _hold_folder(folder: Path) -> Iterator[None]:
    """The folder is there, can be written into, and belongs to this run within the block.

    Unfinished files of a killed run are removed. A block that writes nothing leaves no folder."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = FileLock(folder / _LOCK)
    expected = "a folder that no other run holds, and that can be written into"
    try:
        with refusing(
            "output", expected, f"{folder}", "Wait, choose another, or make room."
        ):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
            if not (folder / _LOCK).exists():  # Its last holder has just removed it.
                lock.release()
                raise Timeout(lock.lock_file)
        for left in (*folder.glob("*.part"), *folder.glob("blocks/*.part")):
            if UNFINISHED.search(left.name):
                left.unlink(missing_ok=True)
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                (folder / _LOCK).unlink()
            lock.release()
        for made in missing:  # The innermost first; those that stayed empty.
            with suppress(OSError):
                made.rmdir()
