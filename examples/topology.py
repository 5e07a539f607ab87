"""A topology: who may send to whom where there is no coordinator. Here a tree.

federated_learning_schema: DecentralizedFederatedLearning
federated_learning_topology: ./topology.py:tree
topology_options: {branches: 3}
"""


def tree(number_of_clients, branches=2):
    """Pairs of clients, counted from 0; every client must be reached. Client 0 is the root."""
    return [((client - 1) // branches, client) for client in range(1, number_of_clients)]
