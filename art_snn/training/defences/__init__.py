"""Defences: what a step of adversarial or certified training minimises, and what follows it."""

from art_snn.training.defences.base import AT as AT, Defence as Defence, Learner as Learner
from art_snn.training.defences.choice import DEFENCES as DEFENCES, parse_defence as parse_defence
from art_snn.training.defences.ibp import IBP as IBP
from art_snn.training.defences.rat import RAT as RAT
from art_snn.training.defences.sr import SR as SR
from art_snn.training.defences.trades import TRADES as TRADES
