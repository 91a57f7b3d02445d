"""Memory of a launch: shared and global bytes, with checks of bounds and races."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import c_uint8

import numpy as np
from numpy.typing import NDArray

from ptx.arithmetic import Bits
from ptx.tensor_cores import addresses_of_descriptor, tf32

NOBODY, SEVERAL = -1, -2
UNWRITTEN = 0xEE


class KernelError(Exception):
    """An access that no correct program makes."""


class RaceError(KernelError):
    """Accesses whose result depends on the schedule of warps or blocks."""


class Clock:
    """Where the launch stands.

    Attributes:
        epoch: Number of the current stretch between two barriers of a block.
        block: Number of the current block.
    """

    def __init__(self) -> None:
        self.epoch, self.block = 0, 0


class _Accesses:
    """The last accesses of one kind to each granule of memory."""

    def __init__(self, granules: int) -> None:
        self.epoch = np.full(granules, NOBODY, np.int32)
        self.warp = np.full(granules, NOBODY, np.int32)
        self.block = np.full(granules, NOBODY, np.int32)

    def add(self, at: NDArray, warps: NDArray, clock: Clock) -> None:
        """Records accesses to granules ``at`` by ``warps``."""
        others = self.by_other_warps(at, warps, clock)
        self.warp[at] = np.where(others, SEVERAL, warps)
        # Of several warps in one instruction, the array keeps the last.
        self.warp[at[(self.warp[at] != warps) | others]] = SEVERAL
        self.epoch[at] = clock.epoch
        self.block[at] = np.where(self.by_other_blocks(at, clock), SEVERAL, clock.block)

    def by_other_warps(self, at: NDArray, warps: NDArray, clock: Clock) -> NDArray:
        """Returns which granules another warp accessed since the last barrier."""
        return (self.epoch[at] == clock.epoch) & (self.warp[at] != warps)

    def by_other_blocks(self, at: NDArray, clock: Clock) -> NDArray:
        """Returns which granules another block accessed."""
        return (self.block[at] != NOBODY) & (self.block[at] != clock.block)


class Region:
    """Adjacent bytes at an address.

    Args:
        name: For messages.
        data: The bytes, changed in place.
        base: Address of the first byte.
        granule: Bytes that are tracked together; divides every access.
        clock: Of the launch.
    """

    def __init__(self, name: str, data: Bits, base: int, granule: int, clock: Clock) -> None:
        self.name, self.data, self.base = name, data, base
        self._granule, self._clock = granule, clock
        granules = len(data) // granule + 1
        self._reads, self._writes = _Accesses(granules), _Accesses(granules)

    def load(self, at: NDArray, size: int, warps: NDArray) -> Bits:
        """Returns ``size`` bytes at each offset ``at`` ``[k]``, as ``[k, size]``."""
        granules, owners = self._granules(at, size, warps)
        self._check(self._writes, granules, owners, "reads what {} wrote")
        self._reads.add(granules, owners, self._clock)
        return self.data[at[:, None] + np.arange(size)]

    def store(self, at: NDArray, data: Bits, warps: NDArray) -> None:
        """Writes ``data`` ``[k, size]`` to the offsets ``at`` ``[k]``.

        A write that changes nothing harms nobody, and is not tracked.
        """
        size = data.shape[1]
        granules, owners = self._granules(at, size, warps)
        places = at[:, None] + np.arange(size)
        changes = (self.data[places] != data).reshape(-1, self._granule).any(1)
        granules, owners = granules[changes], owners[changes]
        self._check(self._writes, granules, owners, "writes what {} wrote")
        self._check(self._reads, granules, owners, "writes what {} read")
        self._writes.add(granules, owners, self._clock)
        self.data[places] = data
        if (self.data[places] != data).any():
            raise RaceError(f"one instruction writes two values to one place of {self.name}")

    def reaches(self, at: NDArray, size: int) -> NDArray:
        """Returns which accesses of ``size`` bytes at the offsets ``at`` lie inside."""
        return (at >= 0) & (at + size <= len(self.data))

    def _granules(self, at: NDArray, size: int, warps: NDArray) -> tuple[NDArray, NDArray]:
        if ((at + self.base) % min(size, 16)).any():
            raise KernelError(f"misaligned access of {size} bytes of {self.name}")
        per_access = size // self._granule
        first = (at + self.base % self._granule) // self._granule
        granules = first[:, None] + np.arange(per_access)
        return granules.reshape(-1), np.repeat(warps, per_access)

    def _check(self, past: _Accesses, at: NDArray, warps: NDArray, problem: str) -> None:
        for who, found in (
            ("another warp", past.by_other_warps(at, warps, self._clock)),
            ("another block", past.by_other_blocks(at, self._clock)),
        ):
            if found.any():
                byte = int(at[found][0]) * self._granule
                since = " since the last barrier" if who == "another warp" else ""
                raise RaceError(f"{problem.format(who)}{since}: byte {byte} of {self.name}")


class Shared(Region):
    """The shared memory of a block; every write counts, because no value is there before.

    Attributes:
        unfenced: Bytes that were written since the last proxy fence.
        pending: Bytes that an asynchronous product may still read.
    """

    def __init__(self, size: int, granule: int, clock: Clock) -> None:
        size = -(-size // 16) * 16
        super().__init__("shared memory", np.full(size, UNWRITTEN, np.uint8), 0, granule, clock)
        self.unfenced, self.pending = np.zeros(size, bool), np.zeros(size, bool)
        self._written = np.zeros(size, bool)

    def load(self, at: NDArray, size: int, warps: NDArray) -> Bits:
        """As `Region.load`."""
        self._inside(at, size)
        if not self._written[at[:, None] + np.arange(size)].all():
            raise KernelError("reads shared memory that was never written")
        return super().load(at, size, warps)

    def store(self, at: NDArray, data: Bits, warps: NDArray) -> None:
        """As `Region.store`."""
        places = self.reserve(at, data.shape[1])
        # Inverted first, so that each byte changes.
        self.data[places] = ~data
        super().store(at, data, warps)
        self._written[places] = True

    def reserve(self, at: NDArray, size: int) -> NDArray:
        """Checks a destination; returns its bytes ``[k, size]``."""
        self._inside(at, size)
        places = at[:, None] + np.arange(size)
        if self.pending[places].any():
            raise RaceError("writes shared memory that an asynchronous product reads")
        self.unfenced[places] = True
        return places

    def start_copy(self, at: NDArray, size: int, warps: NDArray) -> None:
        """Checks the destination of an asynchronous copy; its bytes are undefined until it ends."""
        places = self.reserve(at, size)
        granules, owners = self._granules(at, size, warps)
        self._check(self._reads, granules, owners, "copies over what {} read")
        self._check(self._writes, granules, owners, "copies over what {} wrote")
        self.data[places] = UNWRITTEN
        self._written[places] = False

    def described(self, descriptor: int, columns: int, warp: int) -> NDArray:
        """Returns the TF32 matrix ``[columns, 8]`` that a group of warps multiplies."""
        at = addresses_of_descriptor(descriptor, columns).reshape(-1)
        places = at[:, None] + np.arange(4)
        self._inside(at, 4)
        if self.unfenced[places].any():
            raise RaceError("an asynchronous product reads what was written without a proxy fence")
        # The group reads together; its own warps wrote, too, and only a barrier orders them.
        numbers = np.empty(places.shape, np.uint8)
        for other in range(warp, warp + 4):
            numbers = self.load(at, 4, np.full(len(at), other, np.int32))
        self.pending[places] = True
        return tf32(numbers.view(np.uint32)).reshape(columns, 8)

    def _inside(self, at: NDArray, size: int) -> None:
        if not self.reaches(at, size).all():
            raise KernelError(f"access outside the {len(self.data)} bytes of shared memory")


class Global:
    """The tensors of a launch.

    Args:
        extents: First address and bytes of each tensor; they may overlap.
        granule: As for `Region`.
        clock: Of the launch.
    """

    def __init__(self, extents: list[tuple[int, int]], granule: int, clock: Clock) -> None:
        merged: list[list[int]] = []
        for start, size in sorted(extents):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], start + size)
            elif size:
                merged.append([start, start + size])
        self._starts = np.array([start for start, _ in merged], np.uint64)
        self._regions = []
        for start, stop in merged:
            data = np.ctypeslib.as_array((c_uint8 * (stop - start)).from_address(start))
            self._regions.append(Region("a tensor", data, start, granule, clock))

    def load(self, at: NDArray, size: int, warps: NDArray) -> Bits:
        """Returns ``size`` bytes at each address ``at`` ``[k]``, as ``[k, size]``."""
        found = np.empty((len(at), size), np.uint8)
        for region, here in self._parts(at, size):
            found[here] = region.load(at[here].astype(np.int64) - region.base, size, warps[here])
        return found

    def store(self, at: NDArray, data: Bits, warps: NDArray) -> None:
        """Writes ``data`` ``[k, size]`` to the addresses ``at`` ``[k]``."""
        for region, here in self._parts(at, data.shape[1]):
            region.store(at[here].astype(np.int64) - region.base, data[here], warps[here])

    def add(self, at: NDArray, values: Bits) -> None:
        """Adds to numbers at addresses atomically, which cannot race with other additions."""
        for address, value in zip(at, values, strict=True):
            one = np.array([address])
            for region, _ in self._parts(one, value.nbytes):
                start = int(address) - region.base
                place = region.data[start : start + value.nbytes].view(value.dtype)
                place += value

    def _parts(self, at: NDArray, size: int) -> Iterator[tuple[Region, NDArray]]:
        """Yields each region that is accessed, and which accesses are in it."""
        index = np.searchsorted(self._starts, at, side="right") - 1
        for number in np.unique(index):
            here = index == number
            region = self._regions[max(number, 0)]
            if not region.reaches(at[here].astype(np.int64) - region.base, size).all():
                raise KernelError(f"access of {size} bytes outside the tensors")
            yield region, here
