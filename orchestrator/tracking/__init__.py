"""MLflow: one run per experiment, spooled to disk so that no server can stop or slow a round.

``recorder`` records while a run goes, ``later`` sends what could not be sent, ``ui`` shows it. Nothing is imported
here: the command line needs ``uri`` in answers that must be quick.
"""
