"""The cost command's measurement on a network that takes no time."""

import json
import sys
import time

import numpy as np
import pytest
import torch

from art_snn.evaluation.cost import Cost, Workload, measure, medians
from art_snn.evaluation.cost.process import in_fresh_process
from art_snn.evaluation.memory import keep_freed_memory, peak_during
from art_snn.models import MODELS

ROWS = Workload().rows()
TINY = {"model": "vgg5", "steps": 2, "batch": 2, "image_size": 8, "channels": 1}


def test_every_row_is_measured_in_time_and_memory():
    cost = measure(Workload(**TINY), repeats=1)
    assert set(cost.seconds) == set(cost.peak) == set(ROWS)
    assert all(value > 0 for value in cost.seconds.values())
    assert cost.ratio("inference") == 1
    table = cost.table()
    assert all(title in table for title in ROWS.values())
    assert json.loads(json.dumps(cost.as_dict()))["workload"]["model"] == "vgg5"


def test_the_rules_decide_which_rows_there_are():
    workload = Workload(rules=("hart", "pdsg"))
    assert workload.rows() == {
        "inference": "inference, no gradient",
        "hart": "gradient by HART",
        "pdsg": "gradient by PDSG",
        "stock rga": "ART's stock classifier, RGA",
        "stock stbp": "ART's stock classifier, STBP",
    }
    assert list(ROWS) == ["inference", "rga", "stbp", "stock rga", "stock stbp"]


@pytest.mark.parametrize(
    ("rules", "compared"), [(("rga", "hart"), 0), (("rga", "stbp", "hart"), 2)]
)
def test_rules_are_set_against_stbp_where_it_is_among_them(rules, compared):
    workload = Workload(rules=rules)
    seconds = {row: 2.0 * (i + 1) for i, row in enumerate(workload.rows())}
    table = Cost(workload, "a machine", 3, seconds, dict.fromkeys(seconds, 1)).table()
    assert table.count("of the time of one by STBP.") == compared
    assert all(f"gradient by {rule.upper()} " in table for rule in rules)
    # The rows are inference, RGA, STBP, HART: 2, 4, 6 and 8 seconds.
    assert ("A gradient by HART takes 1.33 of the time" in table) == (compared == 2)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_uses_the_rule_that_it_names(row):
    workload = Workload(**TINY)
    network = workload.network()
    workload.operation(row, network)()
    ran = None if network.execution is None else network.execution.kind
    assert ran == {"inference": None, "rga": "collapsed", "stbp": "through time"}[row.split()[-1]]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gets_the_input_that_it_takes(model):
    workload = Workload(**TINY | {"model": model, "steps": 3})
    network = workload.network()
    x, y = workload.samples(network)
    assert x.shape == ((2, 3, 1, 8, 8) if model == "vgg-dvs" else (2, 1, 8, 8))
    assert x.shape[1:] == network.input_shape
    assert (y.shape, y.sum()) == ((2, 10), 2)
    assert len(np.unique(x)) == x.size
    workload.operation("rga", network)()
    assert network.execution.kind == "collapsed"


def test_medians_run_in_turn_and_do_not_count_the_first_round(monkeypatch):
    order, clock = [], [0.0]
    waits = iter([20, 7, 1, 0, 3, 0, 2, 0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def recorded(name):
        def run():
            order.append(name)
            clock[0] += next(waits)

        return run

    result = medians({"a": recorded("a"), "b": recorded("b")}, repeats=3)
    assert order == ["a", "b"] * 4
    assert result == {"a": 2, "b": 0}


def test_ratios_and_the_table_follow_from_the_figures():
    seconds = {row: 2.0 * (i + 1) for i, row in enumerate(ROWS)}
    peak = {row: 2**20 * (i + 1) for i, row in enumerate(ROWS)}
    cost = Cost(Workload(), "a machine", 3, seconds, peak)
    assert cost.ratio("stbp") == 3
    assert cost.memory_ratio("rga") == 2
    assert "A gradient by RGA takes 0.67 of the time of one by STBP." in cost.table()


def touch_64_mib():
    return float(torch.ones(2**24).sum())


def test_peak_memory_sees_a_tensor_that_is_gone_afterwards():
    # In a process of its own, since freed memory of earlier tests would be used again.
    assert 60 * 2**20 < in_fresh_process(peak_during, touch_64_mib, "cpu") < 90 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt belongs to glibc")
def test_freed_memory_can_be_kept():
    assert keep_freed_memory() in (True, False)
    assert float(torch.ones(2**23).sum()) == 2**23


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "vgg7"},
            r"^model: expected one of vgg5, vgg11, vgg16, resnet17, .*, got 'vgg7'",
        ),
        ({"steps": 0}, r"^steps: expected a whole number >= 1, got 0"),
        ({"batch": -1}, r"^batch: expected a whole number >= 1, got -1"),
        ({"device": "tpu"}, r"^device: expected cpu or cuda, got tpu"),
        ({"rules": ("rga", "sgd")}, r"^rules: expected one of 'stbp', .*'cba', got 'sgd'"),
        ({"rules": ("RGA",)}, r"^rules: expected one of 'stbp', .*'cba', got 'RGA'"),
        ({"rules": ("",)}, r"^rules: expected one of 'stbp', .*'cba', got ''"),
    ],
)
def test_workloads_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Workload(**options)


def test_a_rule_that_is_no_name_is_refused():
    with pytest.raises(TypeError, match=r"^rules: expected a gradient rule such as RGA\(\) or one"):
        Workload(rules=("rga", 3))


def test_a_rule_that_does_not_apply_to_the_neurons_is_refused_when_it_is_measured():
    message = r"^gradient: expected a rule that applies to every neuron .*CBA\(levels=8\).*decay 1"
    with pytest.raises(ValueError, match=message):
        measure(Workload(**TINY, rules=("cba",)), repeats=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^device: expected a device that torch can see"):
        Workload(device="cuda")


def test_no_round_is_refused():
    with pytest.raises(ValueError, match=r"^repeats: expected a whole number >= 1, got 0"):
        medians({}, repeats=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none")
def test_the_cost_is_measured_on_cuda():
    cost = measure(Workload(**TINY, device="cuda"), repeats=2)
    assert torch.cuda.get_device_name() in cost.machine
    assert all(value > 0 for value in cost.peak.values())
