"""Random search by squares, which asks for no gradient and may begin where others came furthest."""

import math
from bisect import bisect_left
from dataclasses import dataclass, field

import torch
from torch import Tensor

from art_snn.attacks.iterated import BallState, IteratedAttack
from art_snn.attacks.measures import MAXIMUM, Ball
from art_snn.attacks.queries import Objective, margin
from art_snn.checks import require, require_number
from art_snn.gradients.shared import align
from art_snn.seeding import uniform_noise

_IMAGES = 4  # Axes of a batch of images.
_HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of a run after which SquareAttack halves the area of its squares."""
_RACE = {0.25: 0.25, 0.5: 0.15, 0.75: 0.1}
"""After each share of a run a race gives up samples that lack more than so much of their height."""
SQUARE_ATTACK = {"share": 0.8, "halving": True, "stripes": True}
"""SquareAttack (Andriushchenko et al., ECCV 2020) as a search of ours, for the control."""
SQUARES = -1
"""The draw of the squares, which is none of those of random starts."""


class _Search(BallState):
    """The steps of :class:`SquareSearch`.

    `current` is the point that is kept, with the objective `value` there [n]; `height`
    says how far the true class's logit is above the mean of all, at the start [n].
    `draws` are numbers in (-1, 1) of all samples ``[N, steps, 2 + channels]``, two of the
    place and one per channel. They are not copied when samples leave, of which `rows` [n]
    remain. `limits` says after how many squares a sample leaves that lacks more than so
    much of its height."""

    attack: "SquareSearch"

    def __post_init__(self) -> None:
        start = self.points
        attack = self.attack
        self.last = attack.channels_last(start)
        self.plane = start.shape[-3:-1] if self.last else (1, *start.shape[1:])[-2:]
        channels = start[0].numel() // math.prod(self.plane)
        shape = (attack.max_iter, 2 + channels)
        draws = uniform_noise(self.ball.centre, attack.seed, SQUARES, shape)
        self.draws = (draws,)
        self.rows = torch.arange(len(draws), device=draws.device)
        self.limits = {
            int(share * attack.max_iter): lack
            for share, lack in _RACE.items()
            if attack.racing
        }

        self.current = start
        self.value = self.height = start.new_full((len(start),), -torch.inf)

    def goes_on(self, values: Tensor, logits: Tensor, aims: Tensor) -> Tensor | bool:
        if self.limits and not self.done:
            self.height = logits.gather(1, aims[:, None])[:, 0] - logits.mean(1)
        if self.done not in self.limits:
            return True
        return values.fmax(self.value) >= -self.limits[self.done] * self.height

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        better = values > self.value
        self.value = torch.where(better, values, self.value)
        self.current = torch.where(align(better, self.points), self.points, self.current)
        change = self._square(self.draws[0][self.rows, self.done])
        self.points = self.ball.project(self.current + change)

    def _square(self, draws: Tensor) -> Tensor:
        """The change of a step ``[n, *shape]``, by numbers [n, 2 + channels]."""
        height, width = self.plane

        done = self.done / self.attack.max_iter
        left = 0.5 ** bisect_left(_HALVINGS, done) if self.attack.halving else 1 - done
        area = self.attack.share * (height * width) * left
        side = max(1, round(area**0.5))

        rows = _window(draws[:, 0], min(side, height), height)
        columns = _window(draws[:, 1], min(side, width), width)
        inside = rows[:, None, :, None] & columns[:, None, None, :]

        signs = torch.where(draws[:, 2:] < 0, -1.0, 1.0)
        change = signs[:, :, None, None] * inside
        like = self.points
        if self.last:
            shape = (*like.shape[:-3], like.shape[-1], height, width)
            change = change.view(shape).movedim(-3, -1)
        change = change.reshape(like.shape).to(like)
        if self.ball.measure == MAXIMUM:
            return change * (2 * self.ball.eps)
        return change * (self.ball.eps / self.ball.measure.length(change))


def _window(place: Tensor, side: int, length: int) -> Tensor:
    """Which of so many positions a side covers, bool [n, length], by numbers in (-1, 1) [n]."""
    first = (
        ((place + 1) / 2 * (length - side + 1)).floor().clamp_(0, length - side)[:, None]
    )
    positions = torch.arange(length, device=place.device)
    return (positions >= first) & (positions < first + side)


@dataclass(eq=False, repr=False)
class SquareSearch(IteratedAttack):
    """Changes random squares and keeps what raises the margin, from any start.

    The moves are those of SquareAttack (Andriushchenko et al., ECCV 2020). A step adds
    one value per channel, of random sign, to a square of the sample, and projects to the
    ball. It stays where the margin has grown. The value is 2 eps; with norm=2 the change
    is of length eps. Squares begin at a share of the area, which falls linearly to a
    single value.

    It begins like our other attacks, or as a warm :class:`Stage` where gradients came
    furthest. All axes but the last two are channels, also the time steps of event frames.
    SquareAttack itself is ``share=0.8, halving=True, stripes=True``; unlike ART's it
    draws for every sample.

    :param max_iter: squares of a run [100].
    :param share: of the area that the first squares fill, above 0 and at most 1.
    :param halving: whether the share is halved at set points of the run, as by
        SquareAttack, and does not fall linearly.
    :param stripes: whether random starts are vertical stripes at the rim of the ball.
    :param racing: whether it gives up samples that are far from the boundary after a
        quarter of the squares, half, or three quarters. The others get the same squares
        as without it.
    :raises ValueError: for a setting out of its range. The other parameters are those of
        :class:`IteratedAttack`."""

    by_gradients = False

    loss_type: str = field(init=False, default="cross_entropy")
    share: float = 0.1
    halving: bool = False
    stripes: bool = False
    racing: bool = False

    state = _Search

    def _cold(self, around: Ball, draw: int) -> Tensor:
        if not (self.stripes and self.num_random_init):
            return super()._cold(around, draw)
        shape = list(around.centre.shape[1:])
        if len(shape) > 1:
            shape[-3 if self.channels_last(around.centre) else -2] = 1
        noise = uniform_noise(around.centre, self.seed, draw, tuple(shape))
        return around.start(
            torch.where(noise < 0, -1, 1).to(noise).expand_as(around.centre)
        )

    def channels_last(self, x: Tensor) -> bool:
        """True where the channels of samples come last."""
        return not self.estimator.channels_first and x.ndim >= _IMAGES

    @property
    def objective(self) -> Objective:
        return super().objective if self.targeted else margin

    def _check_params(self) -> None:
        super()._check_params()
        remedy = "A tenth of the area is usual, a hundredth next to the boundary."
        self.share = require_number("share", self.share, above=0, up_to=1, remedy=remedy)
        require(
            not (self.racing and self.targeted),
            "racing",
            "False for a targeted attack",
            "True",
            "Racing gives up samples far from the boundary, from where a target may be "
            "reached. Set racing=False.",
        )
