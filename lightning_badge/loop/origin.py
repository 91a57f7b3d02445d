"""Whether an ordering file is that of the round whose folder holds it."""

from pathlib import Path

from lightning_badge.exceptions import ArtifactError
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import SampleIds, fingerprint, is_in, name_ids

AGAIN = "delete it and run again: the round is trained again, answers are kept"


def check_origin(
    ordering: Ordering, path: Path, round: int, pool: SampleIds, checkpoint: Path | None
) -> None:
    """Checks that an ordering is what the round wrote, or someone else's of its pool.

    ``checkpoint`` is that of its weights; None where they are the last ones of training.

    Raises:
        ArtifactError: It is of another round, checkpoint or pool.
    """
    # Of a path the end alone, so that a run directory may be moved.
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
    strangers = ordering.sample_ids[~is_in(ordering.sample_ids, pool)].tolist()
    if strangers:
        raise ArtifactError(
            f"{path}: sample ids {name_ids(strangers)} are not in the pool of {len(pool)}; {AGAIN}"
        )


def _tail(path: Path) -> str:
    return "/".join(path.parts[-3:])
