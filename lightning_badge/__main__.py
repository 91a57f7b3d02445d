"""`python -m lightning_badge` is the command `lightning-badge`."""

from lightning_badge.app.main import main

if __name__ == "__main__":
    main()
