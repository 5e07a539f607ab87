"""Factors that a rate is multiplied with, round by round."""
