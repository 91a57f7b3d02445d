"""`Members`: which rows of a pool remain, were issued, or were discarded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering.transfer import to_device

REMAINING, ISSUED, DISCARDED = 0, 1, 2


class Members:
    """The status of each row, on the device of the pool.

    Attributes:
        status: ``REMAINING``, ``ISSUED`` or ``DISCARDED``, ``[n]`` int8.
        n_remaining: Number of remaining rows; reading it needs no host sync.
    """

    def __init__(self, n: int, device: torch.device | str = "cpu") -> None:
        self._status = torch.zeros(n, dtype=torch.int8, device=device)
        self._marks: list[tuple[npt.NDArray[np.int64], int]] = []
        self.n_remaining = n

    def __len__(self) -> int:
        return len(self._status)

    @property
    def status(self) -> Tensor:
        """Written when it is read, because a copy to a GPU in each block costs time."""
        for status in {status for _, status in self._marks}:
            marked = np.concatenate([at for at, new in self._marks if new == status])
            self._status[to_device(marked, self._status.device)] = status
        self._marks = []
        return self._status

    @property
    def remaining(self) -> Tensor:
        """Mask of the remaining rows, ``[n]`` bool."""
        return self.status == REMAINING

    @property
    def issued(self) -> npt.NDArray[np.bool_]:
        """Mask of the issued rows, ``[n]``, on the host."""
        flags: npt.NDArray[np.bool_] = (self.status == ISSUED).cpu().numpy()
        return flags

    @property
    def discarded(self) -> npt.NDArray[np.bool_]:
        """Mask of the discarded rows, ``[n]``, on the host."""
        flags: npt.NDArray[np.bool_] = (self.status == DISCARDED).cpu().numpy()
        return flags

    def issue(self, positions: npt.NDArray[np.int64]) -> None:
        """Marks remaining rows at distinct ``positions`` ``[m]`` as issued."""
        self._mark(positions, ISSUED)

    def discard(self, positions: npt.NDArray[np.int64]) -> None:
        """Marks remaining rows at distinct ``positions`` ``[m]`` as discarded."""
        self._mark(positions, DISCARDED)

    def extend(self, n: int) -> None:
        """Adds ``n`` remaining rows at the end."""
        self._status = torch.cat([self.status, self.status.new_zeros(n)])
        self.n_remaining += n

    def load(self, state: dict[str, Any]) -> None:
        """Restores a status that `state_dict` returned.

        Raises:
            OrderingError: A status of another length, or with unknown values.
        """
        status = state["status"]
        if status.shape != self.status.shape or not ((status >= 0) & (status <= DISCARDED)).all():
            raise OrderingError(
                f"state: expected the status of {len(self)} rows, got {list(status.shape)}"
            )
        self._status = status.to(self.status).clone()
        self.n_remaining = int((status == REMAINING).sum())

    def state_dict(self) -> dict[str, Any]:
        """Returns a copy of the status."""
        return {"status": self.status.clone()}

    def _mark(self, positions: npt.NDArray[np.int64], status: int) -> None:
        self._marks.append((positions, status))
        self.n_remaining -= len(positions)
