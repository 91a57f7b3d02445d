"""``python scripts/al_loop.py budget=variable`` is ``lightning-badge loop budget=variable``."""

import sys
from functools import partial

from lightning_badge.app.stop_line import stop_line
from lightning_badge.stopping import stops_by_signals

if __name__ == "__main__":
    with stops_by_signals(how=partial(stop_line, sys.argv[1:])):  # also while torch is imported
        from lightning_badge.app.run_loop import run_loop

        run_loop()
