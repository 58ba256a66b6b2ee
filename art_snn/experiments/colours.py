"""Colours and lines that mean the same in every picture."""

COLOURS = {"stbp": "#0072b2", "rga": "#d55e00"}
KINDS = {"temporal": COLOURS["stbp"], "rate": COLOURS["rga"]}
LINES = {"FGSM": "--", "PGD-10": "-"}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
GREY = "#999999"
