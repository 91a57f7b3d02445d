"""What `lightning-badge export` prints."""

from collections.abc import Sequence
from pathlib import Path

from lightning_badge.app.command_line import one_line_errors

from lightning_badge.app.handover.export_run import LABELS, MODEL, PREDICTIONS, REPORT, export_run
from lightning_badge.app.handover.run_data import Model


@one_line_errors()
def run(
    run_dir: Path,
    out: Path | None,
    overrides: Sequence[str],
    *,
    round: int | None,
    model: Model,
) -> None:
    """Exports a run and says what was written; the arguments are those of `export_run`."""
    exported = export_run(run_dir, out, overrides, round=round, model=model)
    made = "encoder and head, fine-tuned on the labels" if exported.is_fine_tuned else "the model"
    print(exported.path)
    print(f"  {LABELS}: {exported.labels:,} labels")
    print(f"  {MODEL}: {made} of round {exported.round:03d}, {exported.model}")
    print(f"  {PREDICTIONS}: {exported.predictions:,} samples")
    print(f"  {REPORT}: open it in a browser")
