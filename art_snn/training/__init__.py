"""Training a spiking network by its training gradient, plainly or on adversarial samples."""

from art_snn.training.adversarial import (
    AdversarialTraining as AdversarialTraining,
    Craft as Craft,
)
from art_snn.training.defences import (
    AT as AT,
    DEFENCES as DEFENCES,
    IBP as IBP,
    MPDSGR as MPDSGR,
    MPPD as MPPD,
    RAT as RAT,
    SR as SR,
    TGO as TGO,
    TRADES as TRADES,
    Defence as Defence,
    Learner as Learner,
    Operations as Operations,
    StoG as StoG,
)
from art_snn.training.loop import accuracy as accuracy, train as train
from art_snn.training.recipe import Recipe as Recipe
from art_snn.training.state import Epoch as Epoch, best_epoch as best_epoch
