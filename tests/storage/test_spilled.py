"""A dictionary that spills into a file behaves like a dictionary."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from pointledger.storage.replay.spill import SpilledDict

KEYS = st.integers(0, 30)
PUTS = st.one_of(
    st.tuples(KEYS, st.integers()), st.dictionaries(KEYS, st.integers(), max_size=9), KEYS
)  # put one, put many, get one


def _key(number: int) -> bytes:
    return number.to_bytes(2, "big")


@given(st.integers(1, 40), st.lists(PUTS, max_size=60))
def test_it_behaves_like_a_dictionary_at_any_memory_limit(most: int, puts: list[object]) -> None:
    spilled, known = SpilledDict[int, int](most, _key), dict[int, int]()
    for put in puts:
        if isinstance(put, dict):
            spilled.update(put)
            known.update(put)
        elif isinstance(put, tuple):
            spilled[put[0]] = known[put[0]] = put[1]
        else:
            assert isinstance(put, int)
            assert spilled.get(put) == known.get(put)
    expected = [(_key(number), known[number]) for number in sorted(known)]
    assert list(spilled.in_order()) == expected
    assert [spilled[number] for number in known] == list(known.values())
    assert list(spilled.in_order()) == expected
    spilled.close()


def test_a_value_that_is_changed_in_place_and_put_again_is_kept() -> None:
    spilled = SpilledDict[int, list[int]](2, _key)
    for number in range(10):
        spilled[number] = []
    for _ in range(3):
        for number in range(10):
            values = spilled[number]
            values.append(number)
            spilled[number] = values
    assert [values for _, values in spilled.in_order()] == [[number] * 3 for number in range(10)]


def test_values_that_grow_while_they_are_in_memory_leave_it() -> None:
    written: list[int] = []

    def encode(values: list[int]) -> bytes:
        written.append(len(values))
        return pickle.dumps(values)

    spilled = SpilledDict[int, list[int]](100, _key, encode, weigh=len)
    for nth in range(1_000):
        values = spilled.get(nth % 20, [])
        values.append(nth)
        spilled[nth % 20] = values
    in_memory = 20 * 50 - sum(written[-20:])
    assert in_memory <= 2 * 100
    assert [values for _, values in spilled.in_order()] == [list(range(key, 1_000, 20)) for key in range(20)]
    spilled.close()
