import pytest

from fedchunk.analysis.intervals import Interval, student_t


@pytest.mark.parametrize(
    ("degrees", "point"),
    [(1, 12.7062), (2, 4.3027), (9, 2.2622), (10, 2.2281), (12, 2.1788), (20, 2.0860), (30, 2.0423), (120, 1.9799)],
)
def test_the_point_is_that_of_the_tables(degrees, point):
    assert student_t(degrees) == pytest.approx(point, abs=5e-5)


def test_an_interval_by_hand():
    found = Interval.of([0.80, 0.82, 0.84])  # standard deviation 0.02
    assert found.mean == pytest.approx(0.82)
    assert found.half_width == pytest.approx(4.3027 * 0.02 / 3**0.5, rel=1e-4)


def test_one_value_has_no_interval():
    assert Interval.of([0.5]) == Interval(0.5, None)
