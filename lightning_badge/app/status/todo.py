"""What to do next with a run."""

from lightning_badge.app.status.run_files import RunFiles

_AGAIN = "give the `lightning-badge loop` command of this run again"


def what_next(files: RunFiles, to_label: int | None) -> str:
    """Returns one sentence that says what to do next.

    Args:
        files: What the run directory holds.
        to_label: Samples of the newest ordering that nobody has answered; None without an ordering.
    """
    export = f"`lightning-badge export {files.path}` writes labels, model, predictions and a report"
    if files.holder:
        running = f"the loop is running ({files.holder})"
        return f"{running}; {label}" if (label := _label(files)) else running
    if files.lost is not None:
        return files.lost
    if not files.round_facts:
        return f"no round is trained yet: {_AGAIN}"
    if reason := why_ended(files):
        return f"the run ended: {reason}; {export}"
    last = max(files.round_facts)
    if len(files.log.rounds) <= last and (new := _since_last_cut(files)):
        return f"{new} answers came since the last training: {_AGAIN} to train on them"
    if not to_label:
        return f"nothing is left to label; {export}"
    if label := _label(files):
        return f"{label}, then {_AGAIN}"
    return f"{_AGAIN}: it goes on with round {len(files.log.rounds)}"


def why_ended(files: RunFiles) -> str | None:
    """Returns why the run ends with its last round, as `Limits` does; None if it goes on.

    `Limits` itself is not used: importing it takes seconds, because it imports lightning.
    """
    if not files.round_facts:
        return None
    last = max(files.round_facts)
    facts = files.round_facts[last]
    if not facts["pool"]:
        return "the pool is empty"
    reached = {
        "target_metric": facts.get("metrics", {}).get(files.metric),
        "total_labels": facts["labeled"],
        "max_rounds": last + 1,
    }
    for name, value in reached.items():
        limit = files.config.get(name)
        if limit is not None and value is not None and value >= limit:
            return f"{name}={limit} is reached"
    return files.log.ended


def _since_last_cut(files: RunFiles) -> int:
    last = files.log.cuts[-1].last_answer_id if files.log.cuts else 0
    return sum(answer.answer_id > last for answer in files.log.answers)


def _label(files: RunFiles) -> str | None:
    """Returns where people label; None if nothing says it."""
    if files.page:
        return f"label at {files.page}"
    if files.query is None:
        return None
    return (
        f"label the rows of {files.query} and put a CSV with sample_id,label into "
        f"{files.path / 'answers'}"
    )
