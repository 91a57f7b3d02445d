"""Whether the label store still holds the answers on which the rounds of a run were trained.

``metrics.json`` of a round names them by number and digest. A store that was deleted, restored
without its write-ahead log, or replaced by an older copy knows less than the rounds. A run that
went on with it would ask for labels again that were paid.
"""

import hashlib
import itertools
import json
import logging
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.store.label_store import Cut, LabelStore
from lightning_badge.store.round_files import read_facts
from lightning_badge.store.run_directory import RunDirectory

_MEND = (
    "the label store is lost, incomplete or an older copy; restore it from a backup (labels.db, "
    "with its labels.db-wal if there is one), or add accept_loss=true to go on without what is "
    "missing"
)
_log = logging.getLogger(__name__)


def answers_of(store: LabelStore, cut: Cut) -> dict[str, Any]:
    """Returns what ``metrics.json`` says of the answers up to a cut: number, last one, digest."""
    rows, last = store.answer_rows(), cut.last_answer_id
    (digest,) = _digests(rows, [last])
    return {"count": bisect_right([row[0] for row in rows], last), "last": last, "digest": digest}


def check_answers(directory: RunDirectory, store: LabelStore) -> None:
    """Checks the label store of a run against what its rounds were trained on.

    Raises:
        RunDirectoryError: The store knows less, or other answers.
    """
    if missing := _missing(directory, store):
        raise RunDirectoryError(f"{directory.labels_path}: {next(iter(missing.values()))}; {_MEND}")


def check_store_exists(directory: RunDirectory) -> None:
    """Checks that a run that was trained has a label store, which opening would create.

    Raises:
        RunDirectoryError: It has none.
    """
    path = directory.labels_path
    if not (path.exists() and path.stat().st_size) and (trained := _trained(directory)):
        expected = _expected(trained[0], read_facts(directory.round_path(trained[0])))
        raise RunDirectoryError(f"{path}: {expected}, got no file; {_MEND}")


def set_aside_unknown(directory: RunDirectory, store: LabelStore) -> Path | None:
    """Moves the rounds whose answers are lost into ``rounds.lost-1``, ``-2``, ...

    Returns:
        The folder; None if no answers are lost.
    """
    missing = _missing(directory, store)
    if not missing:
        return None
    asides = (directory.path / f"rounds.lost-{n}" for n in itertools.count(1))
    aside = next(path for path in asides if not path.exists() and not path.is_symlink())
    aside.mkdir()
    for round in missing:
        path = directory.round_path(round)
        path.rename(aside / path.name)
    _log.warning(
        "%s: going on without answers that are lost; rounds that knew them are kept in %s",
        *(directory.labels_path, aside),
    )
    return aside


def _missing(directory: RunDirectory, store: LabelStore) -> dict[int, str]:
    """Returns what is expected and what is there, by round, latest round first."""
    facts = {it: read_facts(directory.round_path(it)) for it in _trained(directory)}
    named = {round: it for round in facts if (it := _named(facts[round])) is not None}
    rows = store.answer_rows() if named else []
    ids = [row[0] for row in rows]
    lasts = sorted({int(it["last"]) for it in named.values()})
    digests = dict(zip(lasts, _digests(rows, lasts), strict=True))
    missing = {}
    for round in facts:
        cuts = store.cuts(round)
        if facts[round]:
            cuts = [cut for cut in cuts if cut.attempt == facts[round].get("attempt", 0)]
        got = None if cuts else "nothing"
        if round in named:
            last = named[round]["last"]
            made = any(cut.last_answer_id == last for cut in cuts)
            got = _difference(named[round], bisect_right(ids, last), digests[last], made)
        if got is not None:
            missing[round] = f"{_expected(round, facts[round])}, got {got}"
    return missing


def _difference(named: Mapping[str, Any], count: int, digest: str, is_cut: bool) -> str | None:
    """Returns what the store holds in place of the answers that a round names; None if those."""
    if count < named["count"]:
        return str(count or "none")
    if not is_cut:
        return "no record of its training"
    return None if digest == named["digest"] else "other ones"


def _expected(round: int, facts: Mapping[str, Any]) -> str:
    named = _named(facts)
    what = "what" if named is None else f"the {named['count']:,} answers that"
    return f"expected {what} round {round} was trained on"


def _trained(directory: RunDirectory) -> list[int]:
    """Returns the rounds whose training began after their cut was committed, latest first."""
    folder = directory.path / "rounds"
    rounds = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return sorted(
        (
            round
            for round in rounds
            if directory.metrics_path(round).exists() or directory.ordering_path(round).exists()
        ),
        reverse=True,
    )


def _named(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns number, last one and digest of answers; None in a run of an earlier version."""
    named = facts.get("answers")
    kinds = {"count": int, "last": int, "digest": str}
    if not isinstance(named, dict):
        return None
    return named if all(isinstance(named.get(key), kinds[key]) for key in kinds) else None


def _digests(rows: Iterable[tuple[Any, ...]], lasts: Sequence[int]) -> list[str]:
    """Returns the digest of the answers up to each of some answers, which are in order."""
    digest, found, waiting = hashlib.sha256(), [], list(lasts)
    for row in rows:
        while waiting and row[0] > waiting[0]:
            found.append(digest.hexdigest())
            waiting.pop(0)
        digest.update(json.dumps(row).encode())
    return [*found, *(digest.hexdigest() for _ in waiting)]
