"""List the trained networks of the zoo."""

from art_snn.app.zoo.result import Listed as Listed
from art_snn.app.zoo.run import run as run
from art_snn.app.zoo.settings import Settings as Settings
