"""fedjax: its ``for_each_client`` (jit) and its running mean, over the exported batches."""

from __future__ import annotations

from collections.abc import Iterator

import fedjax
import jax
import jax.numpy as jnp
from jax_models import logits, to_params, to_vector
from side import Job, Notes, Work, parse_job

jax.tree_map = jax.tree_util.tree_map  # fedjax 0.0.17 still calls it by the name that jax 0.4.26 took away


def run(job: Job) -> None:
    work, notes = Work.load(job.work_folder), Notes()
    facts = work.facts

    def loss(params, batch):
        scores = jax.nn.log_softmax(logits(facts, params, batch["x"]))
        return -jnp.mean(jnp.take_along_axis(scores, batch["y"][:, None], axis=1))

    client_optimizer = fedjax.optimizers.sgd(facts["learning_rate"])
    server_optimizer = fedjax.optimizers.sgd(1.0)

    def init(server_params, _):
        return {"params": server_params, "opt_state": client_optimizer.init(server_params)}

    def step(state, batch):
        gradient = jax.grad(loss)(state["params"], batch)
        opt_state, params = client_optimizer.apply(gradient, state["opt_state"], state["params"])
        return {"params": params, "opt_state": opt_state}

    def final(server_params, state):
        return jax.tree_util.tree_map(lambda a, b: a - b, server_params, state["params"])

    train = fedjax.for_each_client(init, step, final)
    params = to_params(facts, work.initial_P)
    opt_state = server_optimizer.init(params)
    for round_index in range(1, job.rounds + 1):
        deltas = ((delta, 1.0) for _, delta in train(params, _clients(work, round_index)))
        opt_state, params = server_optimizer.apply(fedjax.tree_util.tree_mean(deltas), opt_state, params)
        jax.block_until_ready(params)
        notes.round_done()
    notes.write(job.result, to_vector(facts, params), ("fedjax", "jax", "numpy"))


def _clients(work: Work, round_index: int) -> Iterator[tuple[int, list[dict], dict]]:
    for place, client in enumerate(work.cohort(round_index)):
        x_S, y_S = work.x_NS[client], work.y_NS[client]
        yield int(client), [{"x": x_S[b], "y": y_S[b]} for b in work.batches(round_index, place)], {}


if __name__ == "__main__":
    run(parse_job())
