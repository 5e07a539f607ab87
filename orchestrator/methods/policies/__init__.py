"""Policies: how many chunks a client sends in a round. A file for each."""
