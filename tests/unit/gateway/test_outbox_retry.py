"""The retry policy as a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.retry import RetryPolicy

policies = st.builds(
    RetryPolicy,
    first_s=st.floats(0.1, 5),
    first_tries=st.integers(1, 20),
    factor=st.floats(1.1, 4),
    most_s=st.floats(5, 60),
    jitter=st.floats(0, 0.9),
    shout_from=st.integers(1, 30),
)


def test_the_default_is_second_by_second_and_then_grows_to_half_a_minute() -> None:
    longest = [RetryPolicy().longest_wait_s(attempt) for attempt in range(1, 13)]
    assert longest == [1, 1, 1, 1, 1, 2, 4, 8, 16, 30, 30, 30]


@given(policies, st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_every_wait_is_bounded_and_never_shrinks(policy: RetryPolicy, attempt: int, chance: float) -> None:
    wait_s = policy.wait_s(attempt, lambda: chance)
    assert 0 < wait_s <= policy.most_s
    assert wait_s >= policy.longest_wait_s(attempt) * (1 - policy.jitter)
    assert policy.longest_wait_s(attempt + 1) >= policy.longest_wait_s(attempt)


def test_it_never_gives_up_and_stays_quick_to_compute() -> None:
    assert RetryPolicy().wait_s(2_000_000_000) <= 30


@given(policies)
def test_it_prints_as_a_table_that_ends_in_what_stays(policy: RetryPolicy) -> None:
    lines = str(policy).splitlines()
    assert len(lines) == len(policy.rows()) + 2
    assert "every later one" in lines[-1]
    attempt, _, longest_s, loud = policy.rows()[-1]
    assert loud
    assert policy.longest_wait_s(attempt + 1000) == longest_s


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_s": 0},
        {"jitter": 1},
        {"first_tries": 0},
        {"first_s": 99},
        {"factor": 1.0000001},
        {"factor": float("nan")},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at"):
        RetryPolicy(**wrong)  # pyright: ignore[reportArgumentType]
