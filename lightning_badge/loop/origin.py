"""Checks that an ordering file belongs to the round whose folder contains it."""

from collections.abc import Callable
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge.exceptions import ArtifactError
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering
from lightning_badge.sample_ids import SampleIds, fingerprint, is_in, name_ids

AGAIN = "delete it and run again: the round is retrained, answers are kept"


def check_origin(
    ordering: Ordering, path: Path, round: int, pool: SampleIds, checkpoint: Path | None
) -> None:
    """Checks that an ordering belongs to the round, its checkpoint and its pool.

    Metadata that is missing is not checked: an ordering may come from another program.

    Args:
        ordering: The ordering.
        path: Its file, for error messages.
        round: The round number.
        pool: Sample ids of the pool.
        checkpoint: The checkpoint of the weights; None for the last weights of training.

    Raises:
        ArtifactError: The ordering belongs to another round, checkpoint or pool.
    """
    # Only the end of the path is compared, so that a run directory may be moved.
    named = ordering.metadata.get("checkpoint")
    found = {**ordering.metadata, "checkpoint": named and _tail(Path(named))}
    expected = {
        "round": round,
        "checkpoint": checkpoint and _tail(checkpoint),
        "pool_fingerprint": fingerprint(pool),
    }
    for key, value in expected.items():
        if key in ordering.metadata and found[key] != value:
            raise ArtifactError(
                f"{path}: expected an ordering with {key} {value!r}, got {found[key]!r}; {AGAIN}"
            )
    foreign = ordering.sample_ids[~is_in(ordering.sample_ids, pool)].tolist()
    if foreign:
        raise ArtifactError(
            f"{path}: sample ids {name_ids(foreign)} are not in the pool of {len(pool)}; {AGAIN}"
        )


def _tail(path: Path) -> str:
    return "/".join(path.parts[-3:])


def read_origin(
    path: Path,
    round: int,
    pool: SampleIds,
    checkpoint: Path | None,
    *,
    present: Callable[[Ordering], Ordering] = lambda ordering: ordering,
) -> Ordering:
    """Returns the ordering of a round, checked by `check_origin`; an empty one of an empty pool.

    Args:
        path: The file of the ordering.
        round: The round.
        pool: The ids of the pool.
        checkpoint: As in `check_origin`.
        present: Leaves out what is not asked for, before the check.

    Raises:
        MisconfigurationException: There is no file.
        ArtifactError: It is damaged, or belongs to another round, checkpoint or pool.
    """
    if not len(pool):
        return Ordering(sample_ids=pool)
    if not path.exists():
        raise MisconfigurationException(
            f"expected {path} after training, got no file (fast_dev_run writes none); "
            "make_trainer(round, directory) needs BadgeCallback(dirpath=directory, round=round)"
        )
    ordering = present(read_ordering(path))
    check_origin(ordering, path, round, pool, checkpoint)
    return ordering
