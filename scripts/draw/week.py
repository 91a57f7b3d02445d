"""Draws who labeled when in a simulated run with a team, and when models were trained.

``lightning-badge loop experiment=changing_hours run_dir=runs/week``
``python scripts/draw/week.py runs/week --out week.png``
"""

import argparse
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

from lightning_badge.app.status.run_files import RunFiles, read_run
from lightning_badge.labelers.dataset import TeamLabelers
from lightning_badge.labelers.team import Member, time_of
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.viz.style import COLORS, FAINT, INK, plain


def main() -> None:
    """Parses the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path, help="the run directory")
    parser.add_argument("--out", type=Path, default=Path("week.png"), help="the picture")
    arguments = parser.parse_args()
    with one_line_errors():
        draw_week(read_run(arguments.run_dir)).savefig(arguments.out, dpi=150)
    print(arguments.out)


def draw_week(files: RunFiles) -> Any:
    """Returns a figure: a row for each labeler and one for the trainer, over the days."""
    import matplotlib.dates as dates
    from matplotlib.figure import Figure

    labelers = team_of(files)
    first = labelers.team.begins + timedelta(seconds=labelers.training_s or 0.0)
    end = max(map(time_of, files.log.answers))
    rows = [*labelers.team.members.values()]
    figure = Figure(figsize=(11, 0.75 * len(rows) + 2.2), layout="constrained")
    axes: Any = figure.subplots()
    for row, member in enumerate(rows):
        draw_member(axes, row, member, files, first)
    trained = len(rows)
    for begin in trainings(files, labelers):
        axes.barh(trained, timedelta(seconds=labelers.training_s or 0.0), left=begin, color=INK)
    names = [plain(f"{member.name}\n{member.rate:g} an hour") for member in rows]
    axes.set_yticks(range(trained + 1), [*names, "training"], fontsize=11)
    axes.invert_yaxis()
    if files.log.terms.at:
        axes.axvline(files.log.terms.at, color=COLORS[1], ls="--")
        axes.annotate(" deadline", (files.log.terms.at, trained + 0.45), color=COLORS[1])
    axes.set_xlim(labelers.team.begins.replace(hour=0), end + timedelta(hours=7))
    ticks: Any = dates
    axes.xaxis.set_major_locator(ticks.DayLocator())
    axes.xaxis.set_major_formatter(ticks.DateFormatter("%A"))
    axes.xaxis.set_minor_locator(ticks.HourLocator(byhour=range(0, 24, 6)))
    axes.tick_params(axis="x", labelsize=11)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("left")
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(
        "Hours (pale), answers (dark and light: the round that they count for), trainings "
        f"(black): {len(files.log.answers):,} answers, {len(files.round_facts)} models",
        loc="left",
        fontsize=12,
    )
    return figure


def draw_member(axes: Any, row: int, member: Member, files: RunFiles, first: datetime) -> None:
    """Draws a labeler's hours, their answers and their idle time from the first ordering on."""
    mine = [answer for answer in files.log.answers if answer.annotator == member.name]
    last = max(map(time_of, mine), default=first)
    color = COLORS[row % len(COLORS)]
    for opens, closes in member.hours.open_from(first):
        if opens >= last:
            break
        axes.barh(row, closes - opens, left=opens, height=0.8, color=color, alpha=0.2)
    for answer in mine:
        took = timedelta(seconds=answer.seconds or 0.0)
        strength = (0.95, 0.5)[answer.round % 2]
        axes.barh(row, took, left=time_of(answer) - took, height=0.55, color=color, alpha=strength)
    work = [(time_of(it) - timedelta(seconds=it.seconds or 0.0), time_of(it)) for it in mine]
    at_work = sum(member.hours.between(*interval) for interval in work)
    idle = member.hours.between(first, last) - at_work
    axes.annotate(
        f"{len(mine)} answers, {at_work / 3600:.1f} h at work, idle {abs(round(idle)):.0f} s",
        (first, row - 0.47),
        fontsize=9,
        color=INK,
        va="bottom",
    )


def team_of(files: RunFiles) -> TeamLabelers:
    """Returns the labelers of a run, without the labels that they know."""
    given = files.config["labelers"]
    if not given.get("team"):
        sys.exit(f"error: {files.path}: expected a run with labelers.team, got none")
    return TeamLabelers(
        {},
        team=given["team"],
        begins=given["begins"],
        training_hours=given["training_hours"] or 0.25,
    )


def trainings(files: RunFiles, labelers: TeamLabelers) -> list[datetime]:
    """Returns when the trainings began: with the answers up to their cuts."""
    with LabelStore(RunDirectory(files.path).labels_path) as store:
        return [labelers.team.training_at(store, round)[0] for round in files.round_facts]


if __name__ == "__main__":
    main()
