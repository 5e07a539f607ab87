"""Federated learning on Ray in which clients exchange only the chunks of the model that matter."""
