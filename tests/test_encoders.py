"""Encoders: from [N, ...] to [T, N, ...]."""

import pytest
import torch

from art_snn import SQE, Ablation, Direct, Frames, Frequency, Poisson
from art_snn.encoders import describe_encoder, draws, parse_encoder


def test_direct_repeats_the_input_without_a_copy():
    x = torch.rand(2, 3, 5)
    encoded = Direct(4)(x)
    assert encoded.shape == (4, 2, 3, 5)
    assert encoded.stride(0) == 0
    assert encoded.data_ptr() == x.data_ptr()
    assert torch.equal(encoded, torch.stack([x] * 4))


@pytest.mark.parametrize("encoder", [Direct(4), Poisson(4), SQE(4, levels=3)])
def test_the_gradient_is_the_sum_over_time(encoder):
    x = torch.tensor([[-0.5, 0.0, 0.3, 1.0, 1.5]], requires_grad=True)
    at_steps = torch.randn(4, 1, 5)
    (grad,) = torch.autograd.grad(encoder(x), x, at_steps)
    torch.testing.assert_close(grad, at_steps.sum(0))


def test_poisson_draws_every_step_and_element_on_its_own_from_torchs_random_state():
    x = torch.full((1, 2), 0.5)
    torch.manual_seed(3)
    spikes = Poisson(5000)(x)
    assert not torch.equal(Poisson(5000)(x), spikes)
    torch.manual_seed(3)
    assert torch.equal(Poisson(5000)(x), spikes)
    one, other = spikes[:, 0].unbind(1)
    assert (one * other).mean().item() == pytest.approx(0.25, abs=0.03)
    assert (one[1:] * one[:-1]).mean().item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [1, 2, 5])
def test_sqe_is_one_of_the_two_nearest_levels_and_the_value_on_average(levels, dtype):
    x = torch.tensor([[-0.5, 0.0, 0.1, 0.3, 0.5, 0.77, 1.0, 1.5]], dtype=dtype)
    torch.manual_seed(1)
    drawn = SQE(20_000, levels=levels)(x)
    assert drawn.dtype == dtype
    inside = x.clamp(0, 1)
    part = (levels * inside) % 1
    torch.testing.assert_close(drawn.mean(0), inside, rtol=0, atol=0.015)
    expected = part * (1 - part) / levels**2
    torch.testing.assert_close(drawn.var(0), expected, rtol=0, atol=0.01)
    assert ((drawn - inside).abs() < 1 / levels + 1e-6).all()
    assert {*(drawn * levels).unique().tolist()} <= {*range(levels + 1)}
    # What is a level never varies.
    assert (drawn.std(0)[part == 0] == 0).all()


def test_sqe_of_one_level_is_poisson():
    x, encodings = torch.rand(3, 5), []
    for encoder in (SQE(4, levels=1), Poisson(4)):
        torch.manual_seed(3)
        encodings.append(encoder(x))
    assert torch.equal(*encodings)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_with_the_same_draws_levels_differ_with_probability_n_times_the_change(levels):
    x, by, encoder = torch.rand(1, 40), 0.1, SQE(20_000, levels=levels)
    torch.manual_seed(5)
    one = encoder(x)
    torch.manual_seed(5)
    other = encoder((x + by).clamp(max=1))
    differ = (one != other).double().mean(0)
    assert (differ <= levels * by + 0.02).all()
    assert differ[(x + by < 1)].mean().item() == pytest.approx(levels * by, abs=0.02)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.bfloat16, 4e-3), (torch.float64, 1e-12)])
def test_frequency_encoding_takes_frequencies_away_step_by_step(dtype, rounding):
    board = 0.5 + 0.1 * (-1.0) ** (torch.arange(32)[:, None] + torch.arange(32))
    point, side = torch.zeros(1, 32, 32, dtype=dtype), torch.tensor([16, 14, 12, 10, 8, 6, 4, 2])
    point[0, 0, 0] = 1
    for steps in (8, 4):
        at_point = Frequency(steps)(point)[:, 0, 0, 0].tolist()
        assert at_point == pytest.approx((side[:steps] / 16).square().tolist(), rel=rounding)
    row = Frequency(8)(torch.arange(16.0).view(1, 4, 4) / 16)[4, 0, 0].tolist()
    assert row == pytest.approx([0.3494, 0.3263, 0.3865, 0.4062], abs=5e-5)
    spread = (Frequency(8)(board[None]) - 0.5).abs().amax((1, 2, 3)).tolist()
    assert spread == pytest.approx([0.1, *[0] * 7], abs=1e-6)


@pytest.mark.parametrize("sides", [(32, 28), (5, 7), (1, 3)])
@pytest.mark.parametrize("steps", [1, 4, 11])
def test_frequency_encoding_begins_with_the_image_and_keeps_a_constant(sides, steps):
    x, encoder = torch.rand(2, *sides, dtype=torch.float64, requires_grad=True), Frequency(steps)
    assert sides == (32, 28) or torch.autograd.gradcheck(encoder, x)
    x.data[0, 0, 0] = 0
    assert torch.equal(encoder(x)[0], x)
    assert torch.equal(torch.autograd.grad(encoder(x)[0].sum(), x)[0], torch.ones_like(x))
    shown = encoder(torch.full((2, *sides), 0.3)).flatten().tolist()
    assert shown == pytest.approx([0.3] * (steps * x.numel()), rel=1e-6)
    # Networks are counted before they are built, on a device without values.
    assert encoder(x.to("meta")).shape == (steps, *x.shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ablation_keeps_each_value_of_each_step_with_a_probability(dtype):
    x = torch.ones(200, 4, 50, dtype=dtype, requires_grad=True)
    torch.manual_seed(1)
    kept = Ablation(4, keep=0.3)(x)
    assert (kept.shape, kept.dtype) == ((4, 200, 50), dtype)
    assert {*kept.unique().tolist()} == {0, 1}
    rates = [kept.mean(dim).mean(-1) for dim in (0, 1)] + [kept.mean((0, 1))]
    for rate in rates:
        torch.testing.assert_close(rate, torch.full_like(rate, 0.3), rtol=0, atol=0.12)
    assert not torch.equal(kept[0], kept[1])
    at_steps = torch.randn_like(kept)
    (grad,) = torch.autograd.grad(kept, x, at_steps)
    assert torch.equal(grad.transpose(0, 1), at_steps * kept)
    with torch.no_grad():
        assert not Ablation(keep=0.5)(torch.zeros(2, 4, 3)).any()


def test_encoders_say_whether_they_draw_and_what_they_are():
    words = {encoder: describe_encoder(encoder) for encoder in (Direct(4), Frames(), Poisson(4))}
    assert [*words.values()] == ["direct encoding", "event frames", "Poisson encoding"]
    assert describe_encoder(SQE(levels=4)) == "stochastic quantised encoding of 4 levels"
    assert describe_encoder(Ablation(keep=0.03)).endswith("values kept with probability 0.03")
    assert [draws(encoder) for encoder in (*words, SQE(), Ablation())] == [0, 0, 1, 1, 1]
    assert not draws(torch.nn.Identity())


@pytest.mark.parametrize(
    "encoder", [Direct(4), Poisson(4), SQE(4, 3), Frequency(4), Frames(4), Ablation(4, 0.1)]
)
def test_an_encoder_is_found_by_its_text(encoder):
    text = {SQE: "sqe(levels=3)", Ablation: "ablation(keep=0.1)"}
    assert parse_encoder(text.get(type(encoder), type(encoder).__name__.lower()), 4) == encoder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate", "one of direct, poisson, sqe, frequency, frames, ablation"),
        ("sqe(keep=0.1)", "options of sqe: levels"),
        ("sqe(levels=0)", "levels: expected a whole number >= 1"),
        ("ablation(keep=1)", "keep: expected a number above 0 and below 1.*0.02 to 0.2"),
        ("ablation(keep", "name or name"),
    ],
)
def test_a_text_that_is_no_encoder_is_refused(text, words):
    with pytest.raises(ValueError, match=rf"^encoder: .*{words}"):
        parse_encoder(text)


@pytest.mark.parametrize("steps", [None, 4])
def test_frames_moves_time_to_the_front(steps):
    x = torch.rand(2, 4, 3, 5, requires_grad=True)
    encoded = Frames(steps)(x)
    assert encoded.shape == (4, 2, 3, 5)
    for t in range(4):
        assert torch.equal(encoded[t], x[:, t])
    at_steps = torch.randn(4, 2, 3, 5)
    (grad,) = torch.autograd.grad(encoded, x, at_steps)
    assert torch.equal(grad, at_steps.transpose(0, 1))


@pytest.mark.parametrize("kind", [Direct, Poisson, SQE, Frequency])
def test_with_steps_gives_the_same_encoder_of_another_number_of_steps(kind):
    x, encoder = torch.rand(2, 3, 5), kind(4)
    assert kind()(x).shape == (8, 2, 3, 5)
    longer = encoder.with_steps(9)
    assert longer == kind(9)
    assert encoder == kind(4)
    assert longer(x).shape == (9, 2, 3, 5)
    assert SQE(4, levels=4).with_steps(5) == SQE(5, levels=4)
    assert not hasattr(Frames(4), "with_steps")


@pytest.mark.parametrize(
    "make",
    [Direct, Poisson, SQE, Frequency, Frames, Ablation, Direct(4).with_steps, SQE(4).with_steps],
)
@pytest.mark.parametrize("steps", [0, -1, 2.0, "4", True])
def test_a_number_of_steps_that_is_no_count_is_refused(make, steps):
    with pytest.raises(ValueError, match=r"^steps: .*>= 1"):
        make(steps)


SHAPES = [
    *((Frames(4), shape, r"\[N, 4, ") for shape in ((2, 5, 3), (2, 4))),
    *((Frames(), shape, r"\[N, T, ") for shape in ((2, 4), (2, 0, 3))),
    *((Frequency(4), shape, "Frames") for shape in ((2, 5), (2, 4, 3, 8, 8))),
]


@pytest.mark.parametrize(("encoder", "shape", "words"), SHAPES)
def test_samples_of_another_shape_are_refused(encoder, shape, words):
    with pytest.raises(ValueError, match=f"^x: .*{words}"):
        encoder(torch.zeros(shape))
