"""BADGE active learning for PyTorch Lightning: the whole pool ordered, batches of any size."""
