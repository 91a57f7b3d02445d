"""Frozen encoders: every sample is embedded once a run, into features in the run directory."""

from lightning_badge.encoders.base import Encoder, RawSamples
from lightning_badge.encoders.embed import embed_new
from lightning_badge.encoders.feature_store import FEATURES, FeatureStore
from lightning_badge.encoders.load import load_encoder

__all__ = ["FEATURES", "Encoder", "FeatureStore", "RawSamples", "embed_new", "load_encoder"]
