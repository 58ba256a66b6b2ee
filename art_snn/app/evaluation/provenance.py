"""What a result depends on, in words."""

from datetime import datetime, timezone

from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.tables import Table
from art_snn.progress import duration


def setting_rows(evaluation: Evaluation) -> Table:
    """When, where and how it was measured."""
    content = evaluation.provenance
    cells: dict[str, object] = {"date": date_words(evaluation.date)} if evaluation.date else {}
    cells |= {"time taken": duration(content.seconds)} if content.seconds else {}
    cells |= {"device": content.device, "threads": content.threads}
    cells |= {"time steps (T)": content.steps} if content.steps is not None else {}
    cells |= {"encoder": content.encoder} if content.encoder else {}
    cells |= {"samples": len(evaluation.samples), "examined for findings": content.examined}
    cells |= {"seed": content.seed, "batch size": content.batch_size, "block": content.block}
    dtype = content.attack_dtype
    cells |= {"precision of gradients": dtype} if dtype else {}
    cells |= {f"rule {name}": rule for name, rule in content.rules.items()}
    return _table(cells)


def digest_rows(evaluation: Evaluation) -> Table:
    """What a result is recognised by: digests, versions, and a commit where there is one."""
    content = evaluation.provenance
    cells: dict[str, object] = {"weights": content.weights, "data": content.data}
    cells |= {"fingerprint": evaluation.key}
    cells |= {"sources": ", ".join(content.sources)} if content.sources else {}
    return _table(cells | content.versions | ({"commit": content.commit} if content.commit else {}))


def date_words(date: str) -> str:
    """A date of ISO 8601 for people: "27 November 2026, 12:00 UTC"; as it is if it is none."""
    try:
        when = datetime.fromisoformat(date)
        when = when.replace(tzinfo=when.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return date
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def _table(cells: dict[str, object]) -> Table:
    return Table(("", "value"), [(name, str(value)) for name, value in cells.items()], words=2)
