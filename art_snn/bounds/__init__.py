"""Bounds: what no attack within a budget can do, for networks of LIF and IF neurons."""

from art_snn.bounds.bounding import Bounding as Bounding, check_bounded as check_bounded
from art_snn.bounds.certify import (
    BoundsCertificate as BoundsCertificate,
    Decision as Decision,
    bound_operations as bound_operations,
    certify_bounds as certify_bounds,
    decide_bounds as decide_bounds,
)
from art_snn.bounds.firing import METHODS as METHODS
