"""The spikes of event frames, and the time steps that they can move to."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spikes:
    """Spikes of n samples that may move, and the cells (a step of a place) that they may move to.

    Shifts are in the order of :func:`offsets`, so that 0 is that of a spike which stays.

    :param sample: whose spike it is [S].
    :param cells: where every shift leads [S, 2D + 1], as an index into all cells.
    :param open: which shifts end within the frames and in no masked cell, bool [S, 2D + 1].
    :param room: how many spikes more every cell takes [n * T * P], 0 where masked.
    :param distance: how long the shifts are [2D + 1], in steps."""

    samples: int
    sample: Tensor
    cells: Tensor
    open: Tensor
    room: Tensor
    distance: Tensor

    @classmethod
    def among(cls, counts: Tensor, most: Tensor, free: Tensor, furthest: int) -> "Spikes":
        """Spikes of counts [n, T, P], and the most that cells hold; shifts up to D, the furthest.

        :param free: bool [n, T, P], False where a mask keeps the cells as they are."""
        samples, steps, places = counts.shape
        spikes = torch.where(free, counts, 0).flatten()
        home = torch.arange(len(spikes), device=counts.device).repeat_interleave(spikes)
        shifts = offsets(min(furthest, steps - 1), counts.device)
        time = (home // places % steps)[:, None] + shifts
        inside = (time >= 0) & (time < steps)
        cells = torch.where(inside, home[:, None] + shifts * places, home[:, None])
        is_open = inside & free.flatten()[cells]
        room = torch.where(free, most - counts, 0).flatten()
        sample = home // (steps * places)
        return cls(samples, sample, cells, is_open, room, shifts.abs())

    def of(self, which: Tensor) -> "Spikes":
        """Some of them, by rows [k]."""
        sample, cells, is_open = self.sample[which], self.cells[which], self.open[which]
        return replace(self, sample=sample, cells=cells, open=is_open)

    def ascent(self, scores: Tensor, gradient: Tensor) -> Tensor:
        """Slopes of scores [S, 2D + 1], by their softmax, as shares of the largest of a sample."""
        there = gradient.flatten()[self.cells]
        share = scores.softmax(1)
        slope = share * (there - (share * there).sum(1, keepdim=True))
        most = gradient.new_zeros(len(gradient))
        most = most.scatter_reduce(0, self.sample, slope.abs().amax(1), "amax")[self.sample]
        return torch.where(most[:, None] > 0, slope / most[:, None], 0)

    def retimed(self, gain: Tensor, moved: int | None, total: int | None) -> Tensor:
        """Which shift every spike takes [S], where all would take the one that gains most.

        In rounds every spike that has not moved asks for the best cell that has room. A cell takes
        those that gain most, a sample those that gain most until its budget is spent, and whoever
        moves leaves room behind. Where the sum of shifts is limited, gains count per step.

        :param gain: what every shift gains over staying [S, 2D + 1]; a spike moves for more than 0.
        :param moved: how many spikes of a sample may move; None: any.
        :param total: the largest sum of the lengths of all shifts of a sample; None: any."""
        worth = gain if total is None else gain / self.distance.clamp_min(1)
        taken, room = torch.zeros_like(self.sample), self.room.clone()
        moves, steps = self._budget(moved), self._budget(total)
        while True:
            here = (taken == 0) & (moves[self.sample] > 0)
            can = here[:, None] & self.open & (room[self.cells] > 0)
            can &= self.distance <= steps[self.sample][:, None]
            best, shift = torch.where(can, worth, 0).max(1)
            asks = (best > 0).nonzero()[:, 0]
            if not len(asks):
                return taken
            # From here on masks are factors: picking rows by them would wait for the device.
            asks = asks[best[asks].argsort(descending=True, stable=True)]
            move = shift[asks]
            cell, owner, length = self.cells[asks, move], self.sample[asks], self.distance[move]
            fits = running_sums(cell, torch.ones_like(cell)) <= room[cell]
            one = fits.long()
            fits &= running_sums(owner, one) <= moves[owner]
            fits &= running_sums(owner, one * length) <= steps[owner]
            one = fits.long()
            taken[asks] = one * move
            room.index_add_(0, cell, -one)
            room.index_add_(0, self.cells[asks, 0], one)
            moves.index_add_(0, owner, -one)
            steps.index_add_(0, owner, -one * length)

    def _budget(self, most: int | None) -> Tensor:
        """What every sample may spend [n]."""
        spikes, reach = self.cells.shape
        free = spikes * reach if most is None else most
        return torch.full((self.samples,), free, device=self.room.device)

    def change(self, taken: Tensor) -> Tensor:
        """How many spikes every cell gains by those shifts [n * T * P]."""
        one, none = torch.ones_like(taken), torch.zeros_like(self.room)
        gained = none.index_add(0, self.cells.gather(1, taken[:, None])[:, 0], one)
        return gained.index_add_(0, self.cells[:, 0], -one)


def offsets(furthest: int, device: torch.device) -> Tensor:
    """0, -1, 1, -2, 2, ... [2D + 1]."""
    away = torch.arange(1, furthest + 1, device=device)
    pairs = torch.stack((-away, away), 1).flatten()
    return torch.cat((away.new_zeros(1), pairs))


def running_sums(groups: Tensor, amounts: Tensor) -> Tensor:
    """Sums [k] of the amounts, whole numbers from 0, up to every element within its group."""
    order = groups.argsort(stable=True)
    sums, its = amounts[order].cumsum(0), groups[order]
    first = torch.ones_like(its, dtype=torch.bool)
    first[1:] = its[1:] != its[:-1]
    before = torch.where(first, sums - amounts[order], 0).cummax(0).values
    return torch.empty_like(sums).scatter_(0, order, sums - before)
