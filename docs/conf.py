"""Sphinx configuration."""

from art_snn import __version__

project = "art_snn"
author = copyright = "The art_snn developers"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx-mathjax-offline", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated", "results/*/*.md", "study/*/*.md"]
html_theme = "furo"
html_title = "art_snn"
html_static_path = ["_static"]
html_css_files = ["style.css"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
nitpicky = False
