"""Links of clients: what a file says, what is drawn, and rounds over them that were worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.core.link_times import PARTS, RoundTraffic, peer_round, star_round
from fedchunk.orchestrator.core.links import Choice, ClientLinks, Fixed, Links, Lognormal, Uniform
from fedchunk.orchestrator.settings.links_file import load_links, parse_links, shipped_links


def links_of(up, down, latency, compute=None, **server):
    arrays = [np.array(values, float) for values in (up, down, latency, compute or [1.0] * len(up))]
    return ClientLinks(*arrays, **server)


def traffic_of(down, up, messages, train, clients=None):
    clients = range(len(down)) if clients is None else clients
    return RoundTraffic(*(np.array(values) for values in (clients, down, up, messages, train)))


def test_a_round_of_a_star_by_hand():
    links = links_of(up=[100, 50], down=[200, 400], latency=[0.5, 0.25], compute=[1, 2])
    traffic = traffic_of(down=[400, 400], up=[100, 300], messages=[2, 3], train=[3.0, 4.0])
    # client 0: 2 x 0.5 + 2 + 3 + 1 = 7; client 1: 3 x 0.25 + 1 + 8 + 6 = 15.75; and 1.25 s of aggregation
    time = star_round(links, traffic, aggregate_s=1.25)
    assert time.seconds == 17
    assert time.slowest == 1
    assert (time.down_s, time.compute_s, time.up_s, time.latency_s) == (1.5, 5.5, 3.5, 0.875)
    assert time.waiting_s == pytest.approx(((17 - 7) + (17 - 15.75)) / 2)


def test_a_slow_coordinator_is_shared_by_all_transfers():
    links = links_of(up=[100, 100], down=[100, 100], latency=[0, 0], server_up=50.0, server_down=20.0)
    traffic = traffic_of(down=[100, 300], up=[60, 40], messages=[2, 2], train=[0.0, 0.0])
    # down: 400 bytes at 50 are 8 s for both; up: 100 bytes at 20 are 5 s for both
    assert star_round(links, traffic).seconds == 13
    assert star_round(links_of([100] * 2, [100] * 2, [0, 0], server_up=1e9), traffic).seconds == pytest.approx(3.4)


def test_clients_of_a_round_are_looked_up_by_their_number():
    links = links_of(up=[1, 2, 4], down=[1, 2, 4], latency=[0, 0, 0])
    time = star_round(links, traffic_of([8], [4], [2], [0.0], clients=[2]))
    assert (time.seconds, time.slowest) == (3, 2)


def test_a_round_of_peers_by_hand():
    """A line 0 - 1 - 2; peer 1 sends twice, one after the other, and its messages come last to both others."""
    links = links_of(up=[10, 10, 20], down=[100, 10, 100], latency=[1, 0, 0.5], compute=[1, 1, 3])
    senders, receivers = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1])
    traffic = traffic_of(down=[50, 100, 50], up=[50, 100, 50], messages=[0] * 3, train=[1.0, 2.0, 0.5])
    # ready to send at c = 1, 2, 1.5; done at a = 6, 12, 4
    # peer 0 has heard at 12 + 1 + 0 = 13; peer 2 at 12 + 0.5 = 12.5; peer 1 at max(6 + 1, 4 + 0.5) = 7
    # peer 1's downlink: the first byte at min(1 + 1, 1.5 + 0.5) = 2, and 100 bytes at 10: 12
    time = peer_round(links, traffic, senders, receivers)
    assert (time.seconds, time.slowest) == (13, 0)
    assert time.compute_s == pytest.approx((1 + 2 + 1.5) / 3)
    assert time.up_s == pytest.approx((5 + 10 + 2.5) / 3)
    # after sending 7, 1 and 9 s are left, of which the downlinks need 0.5, 1 (of 10) and 0.5
    assert time.down_s == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_a_peers_slow_downlink_holds_the_round_up():
    links = links_of(up=[1000, 1000], down=[10, 1000], latency=[0, 0])
    traffic = traffic_of(down=[100, 100], up=[100, 100], messages=[0, 0], train=[0.0, 1.0])
    assert peer_round(links, traffic, np.array([0, 1]), np.array([1, 0])).seconds == 11  # from peer 1's first byte on


positive = st.floats(0.01, 1e4)
clients = st.integers(1, 5).flatmap(
    lambda count: st.tuples(*(st.lists(positive, min_size=count, max_size=count) for _ in range(7)))
)


@given(clients, positive, positive)
def test_parts_add_up_to_the_round_and_slower_links_never_make_it_shorter(values, server_up, server_down):
    up, down, latency, compute, up_bytes, down_bytes, train = values
    traffic = traffic_of(np.array(down_bytes), np.array(up_bytes), [2] * len(up), train)
    links = links_of(up, down, latency, compute, server_up=server_up, server_down=server_down)
    slower = links_of([value / 2 for value in up], down, latency, compute, server_up=server_up, server_down=server_down)
    everybody = np.arange(len(up))
    edges = everybody, np.roll(everybody, 1)
    for round_of, more in ((star_round, ()), (peer_round, edges)):
        time = round_of(links, traffic, *more)
        assert sum(getattr(time, name) for name in PARTS) == pytest.approx(time.seconds)
        assert min(getattr(time, name) for name in PARTS) >= -1e-9 * time.seconds
        assert round_of(slower, traffic, *more).seconds >= time.seconds


@pytest.mark.parametrize(
    "spread", [Fixed(3.0), Uniform(2, 5), Lognormal(10, 0.5), Choice((1.0, 2.0, 7.0), (1.0, 0.0, 3.0))]
)
def test_a_clients_draw_does_not_depend_on_how_many_there_are(spread):
    few, many = (spread.draw(np.random.default_rng(4), count) for count in (3, 5000))
    assert few.tolist() == many[:3].tolist()
    if isinstance(spread, Lognormal):
        assert np.median(many) == pytest.approx(10, rel=0.05)
        assert np.log(many).std() == pytest.approx(0.5, rel=0.05)
    if isinstance(spread, Uniform):
        assert 2 <= many.min() < 2.01
        assert 4.99 < many.max() <= 5
    if isinstance(spread, Choice):
        assert set(many.tolist()) == {1.0, 7.0}
        assert (many == 7).mean() == pytest.approx(0.75, abs=0.03)


def test_the_seed_draws_and_fields_do_not_share_draws():
    spread = Lognormal(10, 0.5)
    one, other = (Links("a", dict.fromkeys(("up_mbit", "down_mbit"), spread) | ZEROS, seed) for seed in (1, 2))
    assert one.of(4).up_N.tolist() == one.of(4).up_N.tolist()
    assert one.of(4).up_N.tolist() != other.of(4).up_N.tolist()
    assert one.of(4).up_N.tolist() != one.of(4).down_N.tolist()


ZEROS = {"latency_ms": Fixed(0.0), "compute_factor": Fixed(1.0)}


def test_a_file_is_read_in_its_units(tmp_path):
    (tmp_path / "own.csv").write_text("client,up_mbit, compute_factor\n1,80,\n0,,2.5\n")
    (tmp_path / "links.yaml").write_text(
        "up_mbit: 8\ndown_mbit: {choice: {16: 1}}\nlatency_ms: [20]\nserver_up_mbit: 1000\nclients: own.csv\n"
    )
    links = load_links(tmp_path / "links.yaml").of(3)
    assert links.up_N.tolist() == [1e6, 1e7, 1e6]
    assert links.down_N.tolist() == [2e6] * 3
    assert links.latency_N.tolist() == [0.02] * 3
    assert links.compute_N.tolist() == [2.5, 1, 1]
    assert (links.server_up, links.server_down) == (1.25e8, np.inf)


def test_a_client_that_the_file_of_clients_lacks_is_named(tmp_path):
    (tmp_path / "own.csv").write_text("client,up_mbit\n0,80\n2,8\n")
    links = parse_links("down_mbit: 8\nclients: own.csv", "links.yaml", tmp_path)
    assert links.of(1).up_N.tolist() == [1e7]
    with pytest.raises(ConfigError, match=r"links\.yaml: up_mbit: client 1 has none"):
        links.of(3)


@pytest.mark.parametrize("name", shipped_links())
def test_links_that_are_shipped_are_sound(name):
    links = load_links(name)
    assert links.name == name
    drawn = links.of(100)
    assert drawn.up_N.min() > 0
    assert drawn.down_N.min() >= drawn.up_N.min()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("up_mbt: 3\ndown_mbit: 1", "links.yaml:1:1: up_mbt: nothing of links; did you mean up_mbit?"),
        ("up_mbit: 0\ndown_mbit: 1", "up_mbit: got 0; allowed: a number above 0 to 1e+09"),
        ("down_mbit: 1", "links.yaml: up_mbit: is missing"),
        (
            "up_mbit: {normal: [1, 2]}\ndown_mbit: 1",
            "got normal; allowed: a number, or one of lognormal",
        ),
        ("up_mbit: {uniform: [3, 1]}\ndown_mbit: 1", "got a low end of 3 above the high end of 1"),
        ("up_mbit: {lognormal: 3}\ndown_mbit: 1", "lognormal is written"),
        ("up_mbit: {choice: {3: 0}}\ndown_mbit: 1", "all weights of the choice are 0"),
        ("up_mbit: 1\ndown_mbit: 1\nseed: -1", "seed: got -1; allowed: a whole number, 0 or more"),
        ("up_mbit: 1\ndown_mbit: 1\nclients: nowhere.csv", "nowhere.csv cannot be read"),
        ("up_mbit: 1\ndown_mbit: 1\nclients: twice.csv", "twice.csv:3: client: got 0; allowed: each client once"),
        ("up_mbit: 1\ndown_mbit: 1\nclients: bad.csv", "bad.csv:2: latency_ms: got 'far'"),
        ("up_mbit: 1\ndown_mbit: 1\nclients: odd.csv", "odd.csv has the columns id, up_mbit"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, said, tmp_path):
    (tmp_path / "twice.csv").write_text("client,up_mbit\n0,80\n0,8\n")
    (tmp_path / "bad.csv").write_text("client,latency_ms\n0,far\n")
    (tmp_path / "odd.csv").write_text("id,up_mbit\n0,80\n")
    with pytest.raises(ConfigError) as caught:
        parse_links(text, "links.yaml", tmp_path)
    assert said in str(caught.value)


def test_a_name_that_is_neither_file_nor_shipped_lists_what_there_is():
    with pytest.raises(ConfigError, match="4g, datacenter, dsl, fibre, wan"):
        load_links("5g")
