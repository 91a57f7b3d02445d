"""Which of several answers to a sample is in force."""

from collections.abc import Collection, Iterable

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer, as_columns

LATEST, MAJORITY, UNANIMOUS, PEOPLE_FIRST = CONSENSUS = (
    *("latest", "majority", "unanimous"),
    "people_first",
)
MODEL = "model:"  # how the names of annotators begin that are models


def is_model(annotator: str) -> bool:
    """Returns whether an annotator is a model, by its name.

    Example:
        >>> is_model("model:llama"), is_model("ann")
        (True, False)
    """
    return annotator.startswith(MODEL)


def check_consensus(consensus: object) -> str:
    """Returns the name of a rule, or raises a LabelError that lists the rules."""
    if isinstance(consensus, str) and consensus in CONSENSUS:
        return consensus
    raise LabelError(f"consensus: expected one of {', '.join(CONSENSUS)}, got {consensus!r}")


def decide(votes: Collection[Answer], consensus: str) -> Answer | None:
    """Returns the answer in force of a sample; None if its annotators do not agree.

    Args:
        votes: The latest answer of each annotator to the sample, without ``UNDO``.
        consensus: ``latest``: the latest of them. ``majority``: the answer of most annotators,
            none if two answers have equally many. ``unanimous``: the answer of all annotators.
            ``people_first``: the answer of most people; where no person answered, the label on
            which all models agree, unless the trained model predicted another class.

    Returns:
        The latest of those answers that agree.
    """
    if not votes:
        return None
    if consensus == LATEST:
        return max(votes, key=lambda vote: vote.answer_id)
    if consensus == PEOPLE_FIRST:
        return _decide_people_first(votes)
    by_answer: dict[tuple[str, str | None], list[Answer]] = {}
    for vote in sorted(votes, key=lambda vote: vote.answer_id):
        by_answer.setdefault(as_columns(vote.label), []).append(vote)
    if consensus == UNANIMOUS:
        return by_answer.popitem()[1][-1] if len(by_answer) == 1 else None
    most = max(map(len, by_answer.values()))
    winners = [agreed for agreed in by_answer.values() if len(agreed) == most]
    return winners[0][-1] if len(winners) == 1 else None


def _decide_people_first(votes: Collection[Answer]) -> Answer | None:
    if people := [vote for vote in votes if not is_model(vote.annotator)]:
        return decide(people, MAJORITY)
    agreed = decide(votes, UNANIMOUS)
    # Whether a sample cannot be labeled at all is for people to say, too.
    if agreed is None or agreed.label is SKIP or any(map(_is_contested, votes)):
        return None
    return agreed


def _is_contested(vote: Answer) -> bool:
    """Returns whether the trained model predicted something else than an annotator answered."""
    return vote.guess is not None and as_columns(vote.guess) != as_columns(vote.label)


def votes_of(answers: Iterable[Answer]) -> dict[SampleId, dict[str, Answer]]:
    """Returns the latest answer of each annotator to each sample, without ``UNDO``.

    Args:
        answers: Answers in the order of commits.
    """
    votes: dict[SampleId, dict[str, Answer]] = {}
    for answer in answers:
        votes.setdefault(answer.sample_id, {})[answer.annotator] = answer
    return {
        sample_id: {name: vote for name, vote in latest.items() if vote.label is not UNDO}
        for sample_id, latest in votes.items()
    }


def answers_in_force(answers: Iterable[Answer], consensus: str = LATEST) -> dict[SampleId, Answer]:
    """Returns the answer in force of each sample, oldest first.

    Of each annotator the latest answer to a sample counts; if it is ``UNDO``, none does. Samples
    whose annotators do not agree have no answer in force.

    Args:
        answers: Answers in the order of commits.
        consensus: One of `CONSENSUS`.
    """
    decided = (decide(votes.values(), consensus) for votes in votes_of(answers).values())
    in_force = sorted((answer for answer in decided if answer), key=lambda a: a.answer_id)
    return {answer.sample_id: answer for answer in in_force}
