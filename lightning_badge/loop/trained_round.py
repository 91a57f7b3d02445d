"""What is kept of a round that was trained, and whether it can be used when the run goes on."""

import logging

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.store.kept_answers import answers_of
from lightning_badge.store.label_store import Cut, LabelStore
from lightning_badge.store.round_files import damage_of_checkpoint, kept_files
from lightning_badge.store.run_directory import RunDirectory, edition_of

_log = logging.getLogger(__name__)


def write(directory: RunDirectory, report: RoundReport, cut: Cut, store: LabelStore) -> None:
    """Writes ``metrics.json``, after what it names is on disk.

    Args:
        directory: The run directory.
        report: The round.
        cut: What it was trained on.
        store: The label store, whose committed answers are copied out of its write-ahead log.
    """
    files = kept_files(directory.round_path(report.round))
    facts = {"answers": answers_of(store, cut), "files": files}
    directory.write_metrics(report.round, {"round": report.round, **report.facts(), **facts})
    store.checkpoint()


def read(directory: RunDirectory, round: int) -> RoundReport | None:
    """Returns the report of a round that an earlier process trained.

    Returns:
        None if its training is incomplete, or if its checkpoint is damaged. Then it is trained
        again on the same answers, which gives the same ordering.

    Raises:
        RunDirectoryError: ``metrics.json`` is damaged; or the checkpoint is, and samples that
            arrived were ranked by it, so that another training would rank them anew.
    """
    path = directory.metrics_path(round)
    if not path.exists():
        return None
    report = RoundReport.of_file(path)
    if (damage := damage_of_checkpoint(path.parent)) is None:
        return report
    if edition_of(directory.ordering_path(round)):
        raise RunDirectoryError(
            f"{damage}; restore it, or delete {path.parent}: the round is trained again, and ranks "
            "of samples that arrived may change"
        )
    _log.warning("%s; round %d is trained again on the same answers", damage, round)
    return None
