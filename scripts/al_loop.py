"""``python scripts/al_loop.py budget=variable`` is ``lightning-badge loop budget=variable``."""

from lightning_badge.app.run_loop import run_loop

if __name__ == "__main__":
    run_loop()
