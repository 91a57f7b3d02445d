"""The configurations, inside the package: `pkg://lightning_badge.configs` for Hydra."""
