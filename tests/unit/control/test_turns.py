"""Who enters first, and who gives way: each address stands for itself."""

from hypothesis import given
from hypothesis import strategies as st

from speechpool_operator.turns import Turns


class One:
    """A connection that notes what becomes of it."""

    def __init__(self, address):
        self.address = address
        self.has_begun = self.gave_way = False

    def begin(self):
        assert not self.gave_way
        self.has_begun = True

    def give_way(self):
        self.gave_way = True

    @property
    def is_in(self):
        return self.has_begun and not self.gave_way


def turns(limit=4, *, each=4, places=8):
    return Turns(turns=limit, turns_per_address=each, places=places)


def come(made, address, count=1):
    """So many connections of one address."""
    found = [One(address) for _ in range(count)]
    for one in found:
        made.come(one)
    return found


def test_whoever_comes_begins_at_once_while_there_are_turns():
    assert all(one.has_begun for one in come(turns(4), "a", 4))


def test_who_finds_no_turn_has_the_next_one():
    made = turns(2)
    first, _, third = come(made, "a", 3)
    assert not third.has_begun
    made.leave(first)
    assert third.has_begun
    assert not first.gave_way


def test_an_address_has_its_own_bound():
    assert sum(one.has_begun for one in come(turns(4, each=2), "a", 4)) == 2


def test_silent_addresses_that_hold_every_turn_do_not_keep_a_new_one_out():
    """The one that has the most loses its oldest; nobody else loses anything."""
    made = turns(8, each=6, places=100)
    many, few = come(made, "many", 6), come(made, "few", 2)
    come(made, "many", 50)
    [honest] = come(made, "honest")
    assert honest.is_in
    assert [one.gave_way for one in many] == [True] + [False] * 5
    assert not any(one.gave_way for one in few)


def test_a_new_address_does_not_wait_behind_those_who_have_turns_and_want_more():
    made = turns(4, each=2, places=100)
    first = [come(made, name, 20)[0] for name in ("a", "b")]
    newcomers = [come(made, name)[0] for name in ("c", "d")]
    assert all(one.is_in for one in newcomers)
    assert all(one.gave_way for one in first)


def test_nobody_gives_way_among_addresses_of_one_turn_each():
    """As when a whole fleet comes back at once: each is let in in the order in which it came."""
    made = turns(4)
    crowd = [come(made, str(number))[0] for number in range(8)]
    assert [one.has_begun for one in crowd] == [True] * 4 + [False] * 4
    for number in range(4):
        made.leave(crowd[number])
        assert crowd[number + 4].has_begun
    assert not any(one.gave_way for one in crowd)


def test_a_free_turn_goes_to_an_address_that_has_none():
    made = turns(2, places=100)
    _, begun, waiting, _ = come(made, "a", 4)
    [other, last] = come(made, "b", 2)
    assert other.is_in
    made.leave(begun)
    assert waiting.is_in
    assert not last.has_begun


def test_else_free_turns_go_to_the_addresses_in_rotation():
    made = turns(4, places=100)
    ending = come(made, "x", 2)
    crowd = {name: come(made, name, 5) for name in "ab"}
    assert [sum(one.is_in for one in crowd[name]) for name in "ab"] == [2, 1]
    for ended, name, size in ((ending[1], "a", 3), (crowd["a"][0], "b", 2), (crowd["b"][0], "a", 3)):
        made.leave(ended)
        crowd = {each: [one for one in crowd[each] if one is not ended] for each in "ab"}
        assert sum(one.is_in for one in crowd[name]) == size


def test_who_waits_may_leave():
    made = turns(1)
    first, second, third = come(made, "a", 3)
    made.leave(second)
    made.leave(first)
    assert third.has_begun
    assert not second.has_begun
    assert made.of("a") == 1


def test_where_all_places_are_taken_the_address_with_the_most_loses_its_oldest():
    made = turns(1, places=4)
    come(made, "a")
    many = come(made, "many", 4)
    [honest] = come(made, "honest")
    assert many[0].gave_way
    assert not honest.gave_way
    assert not made.is_full  # "many" has two places


def test_it_is_full_where_no_address_has_two_places():
    made = turns(1, places=2)
    for name in "abc":
        assert not made.is_full
        come(made, name)
    assert made.is_full


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 30)), max_size=60))
def test_bounds_hold_and_nobody_waits_beside_a_free_turn(steps):
    made, here = turns(3, each=2, places=4), []
    for address, which in steps:
        if which < len(here):
            made.leave(here.pop(which))
        elif not made.is_full:
            here += come(made, address)
        here = [one for one in here if not one.gave_way]
        inside = [one for one in here if one.has_begun]
        waiting = [one for one in here if not one.has_begun]
        held = {name: sum(one.address == name for one in inside) for name in "abcde"}
        assert len(inside) <= 3
        assert max(held.values()) <= 2
        assert len(waiting) <= 4
        assert len(inside) == 3 or all(held[one.address] == 2 for one in waiting)
        assert max(held.values()) < 2 or all(held[one.address] for one in waiting)
        assert all(made.of(name) == sum(one.address == name for one in here) for name in "abcde")
