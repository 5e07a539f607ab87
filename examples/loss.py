"""A loss: the focal loss (Lin et al. 2017), which looks at what the model still gets wrong.

loss_function: ./loss.py:focal
loss_options: {gamma: 2.0}
"""

from torch.nn import functional


def focal(outputs, targets, gamma=2.0):
    """The cross entropy of each sample times ``(1 - p) ** gamma``, where p is what the model gives to its class."""
    losses = functional.cross_entropy(outputs, targets, reduction="none")
    return ((1 - (-losses).exp()) ** gamma * losses).mean()
