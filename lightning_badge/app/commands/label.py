"""`lightning-badge label`: the page on which people label."""

from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.command(short_help="Serve the page on which people label.")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", help="Address to bind to.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(1, 65535),
    help="That of the last time, or a free one, if not given.",
)
@click.option("--certfile", metavar="FILE", type=_FILE, help="TLS certificate, PEM.")
@click.option("--keyfile", metavar="FILE", type=_FILE, help="Its key, PEM.")
@click.option("--behind-proxy", metavar="URL", help="Address of a proxy that people open instead.")
def command(
    run_dir: Path,
    host: str,
    port: int | None,
    certfile: Path | None,
    keyfile: Path | None,
    behind_proxy: str | None,
) -> None:
    """Serve the page on which people label the samples of a run.

    Prints the address to open, which lets a browser in by its token; host, port and token stay the
    same after a restart. `lightning-badge loop labelers=page` starts this command by itself. It may
    run alone too: answers are kept, and the loop takes them in when it runs again.

    \b
    Examples:
      lightning-badge label runs/photos-default-badge-on_demand-seed0
      lightning-badge label RUN_DIR --host 0.0.0.0 --certfile cert.pem --keyfile key.pem
      lightning-badge label RUN_DIR --port 9000 --behind-proxy https://labels.example.org
    """  # noqa: D301 - click's mark for text that stays as it is
    from lightning_badge.app.supervise.child_side import end_with_supervisor
    from lightning_badge.exceptions import BadgeError

    end_with_supervisor()
    try:
        from lightning_badge.labelers.page.serve import Binding, serve
    except ModuleNotFoundError as error:
        raise BadgeError(
            f"the labeling page needs {error.name}: pip install 'lightning-badge[page]'"
        ) from error
    serve(run_dir, Binding(host, port, certfile, keyfile, behind_proxy))
