"""What `lightning-badge order` does: read or capture a pool, order it, write the ordering."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import messages_on_stderr, one_line_errors

import yaml

from lightning_badge.exceptions import BadgeError
from lightning_badge.exports.export import export_names, export_ordering, exports
from lightning_badge.order_files import order_files
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import is_ordering_file, read_ordering, write_ordering
from lightning_badge.parquet_folder import PARQUET

_ARRAYS = ("penultimate", "logits")
# Options that also serve for an ordering, and those that its file tells what they were.
_FOR_ORDERINGS = {"k", "fields", "progress"}
_IN_FILE = ("strategy", "args", "seed", "loss", "bias", "backend")


@one_line_errors()
@messages_on_stderr()
def run(
    file: Path | None, out: Path | None, to: str | None, given: Collection[str], **options: Any
) -> None:
    """Orders, or reads an ordering, and writes it; says in one line what came about.

    Args:
        file: Embeddings in one file, or an ordering file.
        out: Where to write; ``ordering`` with the suffix of the format where None.
        to: Format of another tool; None for an ordering file.
        given: Names of the options that were given, and are no defaults.
        **options: Those of the command line.
    """
    if to is not None and to not in export_names():
        raise BadgeError(f"--to: expected one of {', '.join(export_names())}, got {to!r}")
    if options["fields"] and to is None:
        raise BadgeError("--field: fields go into the formats of other tools; choose one with --to")
    out = out or Path("ordering").with_suffix(".parquet" if to is None else exports()[to].suffix)
    if file is not None and file.suffix in PARQUET and is_ordering_file(file):
        if to is None:
            raise BadgeError(f"{file} is an ordering already; --to writes it in another format")
        whole = read_ordering(file)
        _check_as_ordered(file, whole, {name: options[name] for name in options if name in given})
        ordering = whole.take(options["k"])
    else:
        ordering = _order(file, options)
    if to is None:
        write_ordering(ordering, out)
    else:
        export_ordering(ordering, out, to, fields=options["fields"])
    first = ", ".join(map(str, ordering.sample_ids[:3]))
    print(f"{len(ordering):,} samples, best first ({first}, ...): {out}", file=sys.stderr)


def _check_as_ordered(file: Path, ordering: Ordering, given: Mapping[str, Any]) -> None:
    """Raises if options ask for another ordering than the one that a file holds.

    Args:
        file: The ordering file.
        ordering: What it holds.
        given: The options that were given.
    """
    for name, value in given.items():
        if name in _FOR_ORDERINGS or value == "auto":
            continue
        option = "--arg" if name == "args" else f"--{name.replace('_', '-')}"
        if name not in _IN_FILE:
            raise BadgeError(f"{option}: {file} is an ordering already, which takes no such input")
        wanted, held, words = value, ordering.metadata.get(name), name
        if name == "args":
            words = "the arguments"
            wanted = {key: yaml.safe_load(text) for key, text in value.items()}
            held = ordering.metadata.get("strategy_args", {})
            wanted = {**held, **wanted}
        if wanted != held:
            was = "does not say what it was" if held is None else f"was ordered with {words} {held}"
            raise BadgeError(
                f"{option}: {file} is an ordering already and {was}, got {wanted}; leave the "
                "option out, or order the embeddings again"
            )


def _order(file: Path | None, options: dict[str, Any]) -> Ordering:
    arguments = {name: yaml.safe_load(value) for name, value in options["args"].items()}
    common = {key: options[key] for key in ("strategy", "k", "seed", "bias", "backend", "progress")}
    from_checkpoint = [options[key] for key in ("module", "ckpt", "data")]
    from_files = [file, *(options[key] for key in _ARRAYS)]
    if any(value is not None for value in from_checkpoint):
        if None in from_checkpoint or any(value is not None for value in from_files):
            raise BadgeError("expected --module, --ckpt and --data together, and no other input")
        from lightning_badge.app.order_checkpoint import order_checkpoint

        return order_checkpoint(*from_checkpoint, loss=options["loss"], args=arguments, **common)
    if all(value is None for value in from_files):
        raise BadgeError(
            "expected a pool: FILE, or --penultimate and --logits, or --module, --ckpt and --data"
        )
    return order_files(
        file=file,
        **{name: options[name] for name in (*_ARRAYS, "ids")},
        **{f"labeled_{name}": options[f"labeled_{name}"] for name in _ARRAYS},
        labeled_file=options["labeled"],
        loss=options["loss"],
        **common,
        **arguments,
    )
