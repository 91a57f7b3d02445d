"""The active learning loop: train, order the pool, ask for labels, repeat.

The loop does not depend on a strategy or a callback. It only reads the ordering file that the
round's Trainer writes into the round's folder during validation.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from rich.console import Console

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.labelers.base import Labelers, PreparedLabelers
from lightning_badge.loop import trained_round
from lightning_badge.loop.answer_check import AnswerCheck
from lightning_badge.loop.arguments import check_parts, checked_settings
from lightning_badge.loop.arrivals import Arrivals
from lightning_badge.loop.budget import Budget
from lightning_badge.loop.budget.base import Past
from lightning_badge.loop.cold_start import ColdStart, check_cold_start, order_cold
from lightning_badge.loop.cuts import Cuts
from lightning_badge.loop.editions import Editions
from lightning_badge.loop.growth import Growth
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.loop.learning_curve import LearningCurve, answers_before
from lightning_badge.loop.limits import Limits, check_data
from lightning_badge.loop.meanwhile import allowance_meanwhile
from lightning_badge.loop.origin import read_origin
from lightning_badge.loop.planned_rules import PlannedRules
from lightning_badge.loop.query import ask, commit_late_answers, works_during_training
from lightning_badge.loop.round_report import RoundReport, RoundTable, finished_reports
from lightning_badge.loop.run_budget import Asked, Began, RunBudget, clock_of
from lightning_badge.loop.train_round import train_round, warn_without_validation
from lightning_badge.loop.workers import Workers
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering
from lightning_badge.peers import Peers
from lightning_badge.store.allowance import end
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.kept_answers import check_answers
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.run_directory import RunDirectory

_log = logging.getLogger(__name__)


class ActiveLearningLoop:
    """Trains, orders the pool and asks for labels, round after round.

    Each round trains a fresh model on all labels, validates its best checkpoint, reads the ordering
    that the Trainer wrote during validation, and asks the labelers for labels in that order until
    it has as many as the budget allows. A skipped sample leaves the pool and does not count towards
    the budget. Each answer is committed before the next one is requested. If labelers will answer
    later, the run stops and says what they have to do; the next run goes on. The last round asks
    for no labels: its checkpoint is the final model, trained on all labels, and its ordering is the
    one to continue from.

    While nothing is labeled, a datamodule with a method ``cold_start`` is ordered without a model.
    Without validation data each round orders by the weights with which its training ends,
    ``metric`` is NaN, and there is no learning curve.

    An attempt at a round trains on exactly the answers up to its cut, which is committed before its
    training starts. Later answers, corrections, skips and undone answers take effect at the next
    cut, in a running and in a resumed run. The store refuses answers that the datamodule cannot
    use, and ignores those that it already holds. The cut comes with an allowance: while a round is
    trained, labelers may go on with the ordering before it, as far as the budget of the round goes,
    and what they answer counts for that round. A budget that needs the new ordering makes them
    wait, and nobody labels while the last round is trained.

    All state is in the label store and the run directory, and every random draw is a function of
    the seed and the round. A run killed at any time and restarted therefore ends with the same
    result as an uninterrupted one. A round is trained again only if its training was interrupted.

    Args:
        make_model: Builds a fresh model.
        make_trainer: Builds a fresh Trainer from a round number and the round's folder. Its
            callbacks must write two files there. ``fit`` writes ``best.ckpt``, for example with
            ``ModelCheckpoint(directory, "best", monitor="val/accuracy", mode="max")``. ``validate``
            writes ``ordering.parquet``, for example with
            ``BadgeCallback(dirpath=directory, round=round, when="never")``. Any Parquet file
            with the columns ``rank`` and ``sample_id`` is an ordering.
        datamodule: Holds the initial labels when the loop is built; each round adds its own.
        budget: Decides how many labels a round asks for.
        labelers: Answer with labels or skips.
        store: Stores the answers.
        run_directory: Stores everything else; must be entered.
        seed: Seeds every random draw, together with the round.
        metric: The validation metric to report and to compare with ``target_metric``; higher is
            better.
        max_rounds: Maximum number of rounds, including the last one; None for no limit.
        total_labels: Maximum number of labels, including the initial ones; None for no limit.
        target_metric: The run ends when ``metric`` reaches this value; None for no target.
        cold_start: How to order while nothing is labeled: one of `COLD_STARTS`.
        overlap: Number of annotators that answer each sample.
        accept_changes: Whether an answer may name a new class, which the model has from the next
            cut on; ``make_model`` reads the number of classes from ``datamodule.class_names``.
        progress: Whether to show a progress bar on a terminal while a round trains.
        console: Prints one line per round; standard output if None.
        workers: The processes that train with this one, each by `Workers.train_along`; None for no
            others.
        make_budget: Builds the budget of a configuration that `lightning-badge budget` changed;
            None if it does not change.
        clock: Returns the time in seconds since 1970; None for that of the labelers, if they are
            simulated on a virtual clock, or else the real time.
        priorities: Rules that take effect when a round begins; see `PlannedRules`.
        arrivals: Where samples arrive during the run; None if none can.

    Raises:
        LabelError: The pool is empty at the start.
        MisconfigurationException: A limit is not a positive number of its type, or
            ``target_metric`` is given without validation data.
    """

    def __init__(
        self,
        make_model: Callable[[], LightningModule],
        make_trainer: Callable[[int, Path], Trainer],
        datamodule: ActiveLearningDataModule,
        budget: Budget,
        labelers: Labelers,
        store: LabelStore,
        run_directory: RunDirectory,
        *,
        seed: int = 0,
        metric: str = "val/accuracy",
        max_rounds: int | None = None,
        total_labels: int | None = None,
        target_metric: float | None = None,
        cold_start: str = "kmeans_pp",
        overlap: int = 1,
        accept_changes: bool = False,
        progress: bool = True,
        console: Console | None = None,
        workers: Workers | None = None,
        make_budget: Callable[[Mapping[str, Any]], Budget] | None = None,
        clock: Callable[[], float] | None = None,
        priorities: Sequence[Mapping[str, Any]] = (),
        arrivals: Arrivals | None = None,
    ) -> None:
        settings = checked_settings(seed, metric, overlap, progress)
        self.seed, self.metric, self.overlap, self.progress = settings
        check_parts(make_model, make_trainer, datamodule, budget, labelers, store, run_directory)
        self.limits = Limits(max_rounds, total_labels, target_metric)
        check_data(self.limits, datamodule)
        self.make_model = make_model
        self.make_trainer = make_trainer
        self.datamodule = datamodule
        self._clock = clock or clock_of(labelers, store)
        self._rules = PlannedRules(priorities, store)
        self._plan = RunBudget(
            budget, self.limits, store, make=make_budget, clock=self._clock, labelers=labelers
        )
        self.labelers = labelers
        self.store = store
        self.run_directory = run_directory
        self.cold_start = check_cold_start(cold_start)
        self._workers = workers or Workers(Peers())
        self._initial = datamodule.labeled_ids.tolist()
        self._labeled_set = LabeledSet(datamodule)
        is_multilabel = bool(getattr(datamodule, "multilabel", False))
        self._classes = ClassList(
            store,
            datamodule.class_names,
            accept_changes=accept_changes,
            multilabel=is_multilabel,
        )
        self._cuts = Cuts(store, datamodule, self._labeled_set, self._classes)
        store.accept_only(AnswerCheck(datamodule, self._labeled_set, self._classes))
        self._table = RoundTable(console or Console(), self.metric, multilabel=is_multilabel)
        self._curve = LearningCurve(run_directory, metric, target=target_metric)
        self._arrivals = arrivals or Arrivals()
        self._arrivals.begin(datamodule, store, self._labeled_set)
        editions = Editions(datamodule, make_model, run_directory, seed=seed)
        self._growth = Growth(
            self._arrivals, editions, run_directory, store, labelers, self._prepare_labelers
        )

    def run(self) -> float:
        """Runs rounds until one asks for no labels.

        Returns:
            The metric of the last round.

        Raises:
            ArtifactError: An ordering in the run directory is damaged or belongs to another round,
                checkpoint or pool.
            RunDirectoryError: The label store knows less than the rounds.
        """
        check_answers(self.run_directory, self.store)
        self._table.begin(self.run_directory.path)
        if not self.datamodule.plans_validation:
            warn_without_validation(self.metric)
        if (cut := self.store.newest_cut()) is not None:
            self._growth.restore(cut.round, cut)
        self._prepare_labelers()
        finished = self._finished_rounds()
        for report in finished:
            # The orderings of finished rounds are read only to report damaged files.
            if (path := self.run_directory.ordering_path(report.round)).exists():
                read_ordering(path)
            self._table.add(report, earlier=True)
        round, reason = len(finished), None
        try:
            while reason is None:
                report = self.run_round(round)
                self._table.add(report)
                round, reason = round + 1, report.end
        finally:
            self.labelers.close()
        if not report.to_do:
            end(self.store.changes, report.round, reason)
        self._table.end(reason, to_do=report.to_do)
        return report.value(self.metric)

    def _prepare_labelers(self) -> None:
        if isinstance(labelers := self.labelers, PreparedLabelers):
            with self._labeled_set.initial():
                labelers.prepare(overlap=self.overlap, accept_changes=self._classes.accept_changes)

    def run_round(self, round: int) -> RoundReport:
        """Runs one round, or the remaining steps of an interrupted one.

        Args:
            round: The first round that is not finished in the label store.

        Raises:
            ArtifactError: The round's ordering is damaged or belongs to another round, checkpoint
                or pool.
            LabelError: An answer that the data cannot use.
        """
        report = self._trained(round) or self._train(round)
        if not report.pool and self._growth.before_training(round + 1):
            return self._finish(report, 0)
        self._take_late_answers(report)
        ordering = self._read_ordering(report)
        self._write_curve(report)
        past = self._past([*self._finished_rounds(), report], ordering)
        self._plan.commit_terms(past)
        if reason := self._end(report) or self._plan.reached(past):
            return replace(report, end=reason, remains=self._plan.remains())
        pool = len(self.datamodule.pool_ids)
        began = Began(report.round, report.labeled, pool, ordering)
        if not self._plan.size(began):
            return replace(report, end="the budget asks for no more labels")
        return self._ask(report, ordering, began, past)

    def _write_curve(self, report: RoundReport) -> None:
        if self.datamodule.plans_validation:
            self._curve.write([*self._finished_rounds(), report])
        if class_names := self.datamodule.class_names:
            cut = self._cuts.of(report)
            answers = self.store.in_force(up_to=None if cut is None else cut.last_answer_id)
            self._curve.write_queries(answers_before(report.round, answers.values()), class_names)

    def _trained(self, round: int) -> RoundReport | None:
        """Returns the report of training by an earlier process; None if it is incomplete."""
        report = trained_round.read(self.run_directory, round)
        if report is None or (cut := self._cuts.of(report)) is None:
            return None
        self._growth.restore(round, cut)
        self._cuts.apply(cut.last_answer_id)
        is_ordered = self.run_directory.ordering_path(round).exists()
        return report if is_ordered or not len(self.datamodule.pool_ids) else None

    def _train(self, round: int) -> RoundReport:
        directory = self.run_directory.clear_round(round)
        self._growth.before_training(round)
        cut = self._cuts.make(round, self._allowed_meanwhile)
        if isinstance(self.datamodule, ColdStart) and not len(self.datamodule.labeled_ids):
            report = order_cold(
                round,
                datamodule=self.datamodule,
                name=self.cold_start,
                path=self.run_directory.ordering_path(round),
                seed=self.seed,
            )
        else:
            self._workers.begin(round, self.datamodule)
            report = train_round(
                round,
                make_model=self.make_model,
                make_trainer=self.make_trainer,
                datamodule=self.datamodule,
                directory=directory,
                checkpoint=self.run_directory.checkpoint_path(round),
                seed=self.seed,
                metric=self.metric,
                progress=self.progress,
            )
        report = replace(report, attempt=cut.attempt)
        trained_round.write(self.run_directory, report, cut, self.store)
        return report

    def _allowed_meanwhile(self, round: int, last: int) -> tuple[int, int | None] | None:
        """Returns round and labels of the allowance for the training of a round on ``last``."""
        finished = self._finished_rounds()
        before = self._cuts.of(finished[round - 1]) if round else None
        return allowance_meanwhile(
            self._plan,
            self.limits,
            self.store,
            self._past(finished),
            round=round,
            labeled=len(self.datamodule.labeled_ids),
            pool=len(self.datamodule.pool_ids),
            cut=None if before is None else before.last_answer_id,
            until=last,
            not_counted=[*self._initial, *self.datamodule.validation_ids.tolist()],
        )

    def _past(self, reports: list[RoundReport], ordering: Ordering | None = None) -> Past:
        """Returns what the budget sees: rounds, perhaps with the newest ordering, and the clock."""
        return self._plan.past(reports, self.metric, self.run_directory.ordering_path, ordering)

    def _read_ordering(self, report: RoundReport) -> Ordering:
        """Returns the round's ordering; an empty one if the pool is empty."""
        path = self.run_directory.ordering_path(report.round)
        checkpoint = path.with_name("best.ckpt") if self.datamodule.has_validation else None
        pool, present = self.datamodule.pool_ids, self._arrivals.present
        return read_origin(path, report.round, pool, checkpoint, present=present)

    def _end(self, report: RoundReport) -> str | None:
        if not report.pool:
            return "the pool is empty"
        return self.limits.reached(
            rounds=report.round + 1, labeled=report.labeled, value=report.value(self.metric)
        )

    def _ask(
        self, report: RoundReport, ordering: Ordering, began: Began, past: Past
    ) -> RoundReport:
        """Asks for labels and finishes the round, unless its query is not complete."""
        self._rules.begin(report.round)
        query = self._query(report, ordering)
        while True:
            plan = Asked(self._plan, query, began, past)
            received, is_complete = ask(
                query,
                self.labelers,
                *plan.now(),
                began=began.arguments(),
                changed=plan.now,
                is_changed=self._growth.is_due,
            )
            if is_complete or not self._growth.is_due():
                break
            if (ordering := self._growth.edition(query) or ordering) is not query.ordering:
                query = self._query(report, ordering)
                began = replace(began, pool=len(self.datamodule.pool_ids), ordering=ordering)
        report = replace(report, remains=query.remains())
        if not is_complete and (to_do := self.labelers.to_do()):
            return replace(report, end="waiting for labels", to_do=to_do)
        if not received.has_answers:
            none = "the labelers have no answers; run again to ask again"
            return replace(report, end=query.closed() or none)
        size, is_sized = plan.size, plan.is_sized
        if is_sized and received.labels < size and len(ordering) < report.pool:
            _log.warning(
                "round %d: got %d labels instead of %d because its ordering has only %d of %d pool "
                "samples; order more of the pool (callbacks.badge.k)",
                *(report.round, received.labels, size, len(ordering), report.pool),
            )
        return self._finish(report, size if is_sized else received.new_labels)

    def _finish(self, report: RoundReport, size: int) -> RoundReport:
        self.store.finish_round(report.round, query_size=size, **report.facts())
        self.store.checkpoint()
        return replace(report, query_size=size)

    def _query(self, report: RoundReport, ordering: Ordering) -> Query:
        cut = self._cuts.of(report)
        assert cut is not None, "training committed it"
        return Query(
            self.store,
            cut,
            ordering,
            classes=self._classes,
            validation=self.datamodule.validation_ids.tolist(),
            overlap=self.overlap,
            initial=self._initial,
            clock=self._clock,
        )

    def _take_late_answers(self, report: RoundReport) -> None:
        """Commits the answers to the query before that came during the training of a round."""
        path = self.run_directory.ordering_path(report.round - 1)
        cut = self._cuts.of(report) if works_during_training(self.labelers) else None
        if report.round and cut is not None and path.exists():
            before = self._query(self._finished_rounds()[report.round - 1], read_ordering(path))
            commit_late_answers(before, self.labelers, after=cut.last_answer_id)

    def _finished_rounds(self) -> list[RoundReport]:
        return finished_reports(self.store)
