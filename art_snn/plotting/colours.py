"""Colours and lines that mean the same in every picture."""

COLOURS = {"stbp": "#0072b2", "rga": "#d55e00"}
LINES = {"FGSM": "--", "PGD-10": "-"}
