"""Write a sortable page of robust networks from their evaluations, and a table in Markdown."""

from art_snn.app.leaderboard.result import Leaderboard as Leaderboard
from art_snn.app.leaderboard.run import run as run
from art_snn.app.leaderboard.settings import Settings as Settings
