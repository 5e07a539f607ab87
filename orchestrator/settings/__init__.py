"""The settings of an experiment: sections, the rules that join them, and how a file becomes them."""
