"""A schedule: what a rate is multiplied with, round by round. It may stand in server_learning_rate_schedule, too.

learning_rate_schedule: ./learning_rate_schedule.py:warm_up
learning_rate_schedule_options: {warm_rounds: 2}
"""

import math


def warm_up(round_index, rounds, warm_rounds=5):
    """Up in a straight line, then down along half a cosine. Rounds count from 1."""
    if round_index < warm_rounds:
        return round_index / warm_rounds
    done = (round_index - warm_rounds) / max(rounds - warm_rounds, 1)
    return (1 + math.cos(math.pi * min(done, 1))) / 2
