"""Everything that needs a card: the tests marked gpu, what gradients cost, and table S2.

Writes a folder of results and gpu-check.md, which has them all; a run that was interrupted, or of
which something failed, goes on with what is missing. Exit status 0 where everything passed, 1 where
something failed, 2 where there is no card.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

import art_snn
from art_snn.app import cost, scaling
from art_snn.app.folder import locked
from art_snn.app.resume import as_json, earlier, read_result, write_result
from art_snn.app.tables import Notes, Part, Table, render
from art_snn.checks import expand_path
from art_snn.data import Source
from art_snn.files import write_text
from art_snn.gradients import rules_named
from art_snn.measuring import process
from art_snn.measuring.machine import processor
from art_snn.measuring.process import ProcessFailed
from art_snn.models import Architecture
from tests.bench import commit, guarded

ROOT = Path(__file__).resolve().parents[1]
SUMMARY = "gpu-check.md"
FAILED = "failed.txt"
STOPPED = "gpu-check: stopped; the same command goes on with the rest."

PRECISIONS = {
    "fp32": "single precision, TF32 off",
    "TF32": "single precision, TF32 on in convolutions and matrix products",
    "bfloat16": "gradients in bfloat16, TF32 on in what is left of single precision",
}
PAPER = (
    "The paper has 0.587 in time and 0.81 in memory, on a 3090 (Bu et al., CVPR 2023, table S2): "
    "these two are the paper's."
)


@dataclass(frozen=True)
class Plan:
    """What is measured, and into which folder.

    :param samples: images under PGD.
    :param inputs: channels and side of the images, where they are not those of CIFAR-10."""

    output: Path
    device: str = "gpu"
    model: str = "vgg11"
    width: float | None = None
    steps: tuple[int, ...] = (4, 8, 16, 32)
    precisions: tuple[str, ...] = tuple(PRECISIONS)
    batch_size: int = 32
    samples: int = 320
    repeats: int = 7
    inputs: dict[str, int] = field(default_factory=dict)

    @classmethod
    def small(cls, output: Path, device: str) -> Plan:
        """A tiny network over few steps, to try everything in little time."""
        return cls(
            output=output,
            device=device,
            model="vgg5",
            width=0.1,
            steps=(2, 3),
            batch_size=2,
            samples=2,
            repeats=1,
            inputs={"channels": 1, "image_size": 8},
        )

    def cost(self, precision: str, steps: int) -> cost.Settings:
        """One input gradient in one precision at one T."""
        options: dict[str, Any] = {"peers": True, **self.inputs}
        if precision == "bfloat16":
            options["attack_dtype"] = precision
        return cost.Settings(
            output=self.output / "cost" / f"{precision}-T{steps}",
            device=self.device,
            architecture=Architecture(model=self.model, width=self.width, steps=steps),
            rules=rules_named("rga,stbp"),
            batch_size=self.batch_size,
            repeats=self.repeats,
            **options,
        )

    @property
    def scaling(self) -> scaling.Settings:
        """The protocol of table S2."""
        size = self.inputs.get("image_size", 32)
        return scaling.Settings(
            output=self.output / "scaling",
            device=self.device,
            models=(self.model,),
            width=self.width,
            steps=self.steps,
            rules=rules_named("rga,stbp"),
            source=Source(data="random", image_size=size),
            channels=self.inputs.get("channels", 3),
            batch_size=self.batch_size,
            samples=self.samples,
            repeats=min(self.repeats, 3),
        )

    @property
    def costs(self) -> list[cost.Settings]:
        """All input gradients, in the order of the summary."""
        return [self.cost(name, steps) for name in self.precisions for steps in self.steps]


def machine(device: str) -> dict[str, str]:
    """Card, driver and versions, each by its name."""
    about = {"card": torch.cuda.get_device_name()} if device == "gpu" else {"no card": processor()}
    return about | {
        "driver": driver(),
        "torch": str(torch.__version__),
        "CUDA": str(torch.version.cuda),
        "cuDNN": str(torch.backends.cudnn.version()),
        "Python": platform.python_version(),
        "art_snn": f"{art_snn.__version__} {commit()}".strip(),
    }


def driver() -> str:
    """Version of the driver as nvidia-smi tells it, "unknown" where it does not."""
    asked = ["--query-gpu=driver_version", "--format=csv,noheader"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    done = subprocess.run([program, *asked], capture_output=True, text=True)
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else "unknown"


def check(plan: Plan) -> bool:
    """Do what is missing, and write the summary anew after every step; whether all went well."""
    with locked(plan.output):
        about = machine(plan.device)
        file = plan.output / "machine.json"
        earlier(file, "card, driver and versions", dict, lambda found: found == about)
        write_result(file, about)
        jobs: list[tuple[Path, Callable[[], object]]] = [
            (plan.output / "tests", lambda: run_tests(plan.output / "tests")),
            *((one.output, lambda one=one: measure(one)) for one in plan.costs),
            (plan.output / "scaling", lambda: grow(plan.scaling)),
        ]
        for folder, job in tqdm(jobs, desc="Tests, costs, scaling"):
            attempt(folder, job)
            write_text(plan.output / SUMMARY, summary(plan))
    return not failures(plan.output)


def attempt(folder: Path, job: Callable[[], object]) -> None:
    """Do a job; where it fails, the reason lies in its folder, and the others are still done."""
    (folder / FAILED).unlink(missing_ok=True)
    try:
        job()
    except ProcessFailed as failure:
        write_text(folder / FAILED, f"{failure}\n")


def run_tests(folder: Path) -> None:
    """The tests that need a card, unless they have passed.

    :raises ProcessFailed: where one does not pass, or none runs."""
    file = folder / "tests.json"
    if earlier(file, "kind", dict, lambda found: "counts" in found):
        return
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-ra", "tests"]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    write_text(folder / "tests.txt", done.stdout)
    counts = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|errors?)\b", done.stdout[-500:]))
    if done.returncode:
        raise ProcessFailed(f"pytest: {counts or 'no tests ran'}; tests.txt has what it said")
    write_result(file, {"counts": counts, "seconds": round(time.monotonic() - start)})


def measure(settings: cost.Settings) -> None:
    """One input gradient in a process of its own, unless it has been measured."""
    wanted = as_json(settings.as_dict())
    file = settings.output / "cost.json"
    if earlier(file, "settings", dict, lambda found: found.get("workload") == wanted) is None:
        process.in_fresh_process(measured, settings, precision_of(settings) != "fp32")


def precision_of(settings: cost.Settings) -> str:
    """The one of PRECISIONS, which its folder is named after."""
    return settings.output.name.partition("-")[0]


def measured(settings: cost.Settings, tf32: bool) -> None:
    """What runs in that process."""
    with rounding(tf32):
        cost.run(settings)


def grow(settings: scaling.Settings) -> None:
    """Table S2; what has been measured is not measured again.

    :raises ProcessFailed: where a row has no figure."""
    for cell in scaling.run(settings).cells:
        for row, reason in cell.failed.items():
            raise ProcessFailed(f"{row} at T = {cell.steps}: {reason}")


@contextmanager
def rounding(tf32: bool) -> Iterator[None]:
    """Whether convolutions and matrix products of single precision round to TF32 in the block."""
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = tf32
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def failures(output: Path) -> dict[str, str]:
    """Folder -> the first line of why its job failed."""
    files = sorted(output.rglob(FAILED))
    return {
        file.parent.relative_to(output).as_posix(): file.read_text("utf-8").splitlines()[0]
        for file in files
    }


def summary(plan: Plan) -> str:
    """All that lies in the folder so far, in Markdown."""
    parts: list[Part] = []
    about = read_result(plan.output / "machine.json")
    parts.append(Notes([f"{name}: {value}" for name, value in about.items()]))
    failed = [f"{name} failed: {reason}" for name, reason in failures(plan.output).items()]
    parts += [Notes(failed)] if failed else []
    sections = [("GPU check", parts), ("Tests", _tests(plan)), ("RGA against STBP", _ratios(plan))]
    sections += [(f"One input gradient: {name}", _costs(plan, name)) for name in plan.precisions]
    sections.append(("Table S2", _scaling(plan)))
    levels = ["#", *["##"] * (len(sections) - 1)]
    return "\n".join(
        f"{level} {title}\n\n{render(parts or ['Not measured yet.'], 'markdown')}"
        for level, (title, parts) in zip(levels, sections, strict=True)
    )


def _tests(plan: Plan) -> list[Part]:
    passed = _read(plan.output / "tests" / "tests.json", dict)
    words = "Tests marked gpu: {counts}, in {seconds} s."
    return [words.format(**passed)] if passed else []


def _ratios(plan: Plan) -> list[Part]:
    """RGA over STBP in time and peak memory, of gradients and of PGD, beside the paper's."""
    rows = []
    for settings in plan.costs:
        found = _cost(settings)
        if found:
            steps, ratio = settings.architecture.steps, (_over(found.seconds), _over(found.peak))
            rows.append((f"one gradient, {precision_of(settings)}", str(steps), *ratio))
    growth = _growth(plan)
    for cell in growth.cells if growth else ():
        rows.append(
            ("PGD, torch's defaults", str(cell.steps), _over(cell.seconds), _over(cell.peak))
        )
    return [Table(("", "T", "time", "peak memory"), rows), PAPER] if rows else []


def _over(figures: dict[Any, Any]) -> str:
    rows = {str(row): figure for row, figure in figures.items()}
    rga, stbp = rows.get("rga"), rows.get("stbp")
    return f"{rga / stbp:.3f}" if rga is not None and stbp else "-"


def _costs(plan: Plan, precision: str) -> list[Part]:
    found = [_cost(plan.cost(precision, steps)) for steps in plan.steps]
    parts = [part for one in found if one for part in one.parts()]
    return [f"Here: {PRECISIONS[precision]}.", *parts] if parts else []


def _cost(settings: cost.Settings) -> cost.Cost | None:
    return _read(settings.output / "cost.json", cost.Cost)


def _scaling(plan: Plan) -> list[Part]:
    found = _growth(plan)
    default = "TF32 as torch has it by default: on in convolutions, off in matrix products."
    return [*found.parts(), default, PAPER] if found else []


def _growth(plan: Plan) -> scaling.Growth | None:
    return _read(plan.output / "scaling" / "scaling.json", scaling.Growth)


def _read(file: Path, kind: type) -> Any:
    return read_result(file, kind) if file.exists() else None


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--output", default="gpu-check", help="folder of results [gpu-check]")
    parser.add_argument("--small", action="store_true", help="a tiny network, to try it")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu is for trying")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    options = parsed(words)
    if options.device == "gpu" and not torch.cuda.is_available():
        why = "sees no CUDA device, and this checks nothing but what needs one."
        print(f"gpu-check: torch {torch.__version__} {why}", file=sys.stderr)
        return 2
    return guarded(lambda: run(options), STOPPED)


def run(options: argparse.Namespace) -> int:
    output = expand_path("output", options.output)
    make = Plan.small if options.small else Plan
    done = check(make(output=output, device=options.device))
    for name, reason in failures(output).items():
        print(f"{name} failed: {reason}", file=sys.stderr)
    print(f"Written to {output}: {SUMMARY}, and all results.")
    return 0 if done else 1


if __name__ == "__main__":
    # By its own name, so that other processes find what they are to run.
    from tests import gpu_check

    sys.exit(gpu_check.main())
