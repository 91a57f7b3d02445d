"""The report of a run: one HTML file that opens offline."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined

from lightning_badge.app.handover.chart import Chart, draw_chart
from lightning_badge.app.handover.labels_csv import label_rows
from lightning_badge.app.handover.predictions import LoadedModel, Predictions
from lightning_badge.app.handover.previews import Preview, previews
from lightning_badge.app.handover.run_data import RunData
from lightning_badge.app.status.facts import RunFacts, run_facts
from lightning_badge.labels import Skip, Undo, label_text
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer

HARDEST = 24
_ASKED_ROUNDS, _ASKED_EACH = 12, 6


@dataclass(frozen=True)
class Shown:
    """A sample with what people see of it, a label and a line about it."""

    sample_id: SampleId
    preview: Preview
    label: str
    note: str


@dataclass(frozen=True)
class AskedRound:
    """The first samples that a round asked for."""

    round: int
    count: int
    samples: list[Shown]


@dataclass(frozen=True)
class ClassRow:
    """A class: its labels, and the samples of the pool that are predicted to be of it.

    Attributes:
        name: The class.
        labels: Number of labels, initial ones too.
        predicted: Number of predictions.
        confidence: Their mean confidence; None if there are none.
    """

    name: str
    labels: int
    predicted: int
    confidence: float | None


def render_report(run: RunData, model: LoadedModel, predictions: Predictions, now: datetime) -> str:
    """Returns the report as HTML.

    Args:
        run: The run.
        model: Its best model.
        predictions: For the rest of the pool.
        now: The time to write into it.
    """
    facts = run_facts(run.files, now, samples=0)
    hardest = np.argsort(predictions.confidence, kind="stable")[:HARDEST].tolist()
    asked = _asked(run.answers)
    seen = previews(
        run.datamodule,
        [
            *(predictions.sample_ids[row] for row in hardest),
            *(answer.sample_id for answers in asked.values() for answer in answers[:_ASKED_EACH]),
        ],
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = files("lightning_badge.app.handover").joinpath("report.html.j2")
    return environment.from_string(source.read_text(encoding="utf-8")).render(
        facts=facts,
        run=run,
        model=model,
        now=now,
        chart=_chart(facts),
        classes=_classes(run, predictions),
        asked=[
            AskedRound(
                round,
                len(answers),
                [_shown_answer(answer, seen, run) for answer in answers[:_ASKED_EACH]],
            )
            for round, answers in asked.items()
        ],
        hardest=[_shown_prediction(row, predictions, seen) for row in hardest],
        asked_rounds=len({answer.round for answer in run.answers.values()}),
        predicted=len(predictions.labels),
        labels=sum(1 for _ in label_rows(run)),
        total=run.total,
    )


def _chart(facts: RunFacts) -> Chart | None:
    points = [(row.labeled, row.value) for row in facts.rounds if row.value is not None]
    return draw_chart(points) if len(points) > 1 else None


def _asked(answers: Mapping[SampleId, Answer]) -> dict[int, list[Answer]]:
    """Returns the answers in force by round, highest ranks first; of many rounds, some."""
    by_round: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers.values():
        by_round[answer.round].append(answer)
    rounds = sorted(by_round)
    if len(rounds) > _ASKED_ROUNDS:
        rounds = [rounds[i] for i in np.linspace(0, len(rounds) - 1, _ASKED_ROUNDS).astype(int)]
    return {round: sorted(by_round[round], key=_rank) for round in rounds}


def _rank(answer: Answer) -> tuple[bool, int]:
    return answer.rank is None, answer.answer_id if answer.rank is None else answer.rank


def _shown_answer(answer: Answer, seen: Mapping[SampleId, Preview], run: RunData) -> Shown:
    if isinstance(answer.label, Skip | Undo):
        label = "skipped"
    else:
        label = label_text(answer.label, run.class_names)
    rank = "" if answer.rank is None else f"rank {answer.rank}, "
    return Shown(
        answer.sample_id,
        seen.get(answer.sample_id, Preview()),
        label,
        f"{rank}by {answer.annotator}",
    )


def _shown_prediction(
    row: int, predictions: Predictions, seen: Mapping[SampleId, Preview]
) -> Shown:
    sample_id: SampleId = predictions.sample_ids[row : row + 1].tolist()[0]
    return Shown(
        sample_id,
        seen.get(sample_id, Preview()),
        predictions.labels[row],
        f"{predictions.confidence[row]:.1%} sure",
    )


def _classes(run: RunData, predictions: Predictions) -> list[ClassRow]:
    """Returns all classes, those with the fewest labels last."""
    names: Sequence[str] = run.class_names or ()
    is_several = getattr(run.datamodule, "multilabel", False)
    labels = Counter(
        name
        for _, text, *_ in label_rows(run)
        for name in (text.split("|") if is_several else [text])
    )
    sure: dict[str, list[float]] = defaultdict(list)
    for text, confidence in zip(predictions.labels, predictions.confidence.tolist(), strict=True):
        for name in text.split("|") if is_several else [text]:
            sure[name].append(confidence)
    rows = [
        ClassRow(name, labels[name], len(sure[name]), _mean(sure[name]))
        for name in dict.fromkeys([*names, *labels, *list(sure)])
    ]
    return sorted(rows, key=lambda row: -row.labels)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
