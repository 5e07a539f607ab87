"""A policy: how many chunks a client sends. A third of them at first, and fewer later.

sensitivity_policy: ./policy.py:third
sensitivity_options: {halve_every: 10}
"""


def third(num_chunks, round_index, halve_every=20):
    """K, and the reason that the records give for it."""
    chunks = num_chunks / 3 / 2 ** ((round_index - 1) // halve_every)
    return max(1, round(chunks)), f"a third, halved every {halve_every} rounds"
