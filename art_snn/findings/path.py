"""What an attack has computed on its way, and whether any of it was an adversarial."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks.objectives import margin


@dataclass
class Path:
    """Of every sample the point of its ball and range that was misclassified by the widest margin.

    A point in the balls of several samples is nobody's, since nothing says for which of them the
    network computed it.

    :param centres: the samples [N, D], in double precision.
    :param classes: their true classes [N].
    :param points: the points found [N, D], the samples where there is none.
    :param margins: there, best other logit minus that of the true class [N]; 0 where none.
    :param norm: numpy.inf, 2 or 0, of the ball; eps: its radius, rounding included.
    :param low: lowest values, which broadcast to the samples' shape; high: highest."""

    centres: Tensor
    classes: Tensor
    points: Tensor
    margins: Tensor
    norm: float
    eps: float
    low: np.ndarray
    high: np.ndarray

    def take(self, inputs: Tensor, logits: Tensor) -> None:
        """Take in what the network computed.

        :param inputs: ``[n, *shape]``, with their logits [n, K]."""
        with torch.no_grad():
            points = inputs.to(self.centres).flatten(1)
            like = self.centres
            ends = (torch.as_tensor(e, device=like.device) for e in (self.low, self.high))
            low, high = (end.to(like) for end in ends)
            within = ((inputs >= low) & (inputs <= high)).flatten(1).all(1)
            exact = "donot_use_mm_for_euclid_dist"
            gaps = torch.cdist(points, self.centres, p=self.norm, compute_mode=exact)
            inside = gaps <= self.eps
            own = within & (inside.sum(1) == 1)
            rows = inside[own].int().argmax(1)
            values = margin(logits.detach()[own], self.classes[rows]).to(self.centres)
            self._keep(rows, points[own], values)

    def _keep(self, rows: Tensor, points: Tensor, values: Tensor) -> None:
        # One by one, since a sample may have several points in a batch; few are misclassified.
        for index in (values > self.margins[rows]).nonzero()[:, 0]:
            row = rows[index]
            if values[index] > self.margins[row]:
                self.points[row], self.margins[row] = points[index], values[index]

    @property
    def held(self) -> np.ndarray:
        """Which samples it held an adversarial of, bool (N,)."""
        return np.asarray((self.margins > 0).cpu().numpy())
