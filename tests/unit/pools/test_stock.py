"""The stock alone: no loop, no hooks, no time but an argument."""

import random

import pytest

from speechpool.pools.hooks import Hooks
from speechpool.pools.item import Attempt, Item, Waiter
from speechpool.pools.settings import PoolSettings
from speechpool.pools.stats import Peak
from speechpool.pools.stock import Stock
from speechpool.pools.tiers import AllocationTier, ItemState

HOOKS = Hooks(PoolSettings(factory=object), 0)


class Caller(Waiter):
    """Takes what it is given, or has gone away."""

    def __init__(self, session=None, *, gone=False):
        super().__init__(session)
        self.gone = gone
        self.got = None

    @property
    def wanted(self):
        return self.got is None and not self.gone

    def give(self, item, tier):
        self.got = (item, tier)


def stock_of(idle, *, target=0, max_size=None):
    stock = Stock(target=target, max_size=max_size, peak=Peak())
    for _ in range(idle):
        stock.idle.append(made(stock))
    return stock


def made(stock):
    """A new client, in no place yet."""
    attempt = Attempt()
    stock.begin(attempt)
    item = Item(object(), HOOKS, now=0.0, jitter=1.0)
    stock.add(item, attempt)
    stock.end(attempt)
    stock.passing.pop(item)
    return item


def test_who_waits_longest_is_served_first():
    stock = stock_of(0)
    first, second = Caller(), Caller()
    stock.join(first)
    stock.join(second)

    assert stock.hand_over(made(stock), AllocationTier.COLD, None, 0.0)

    assert first.got is not None
    assert second.got is None


def test_who_went_away_is_passed_over():
    stock = stock_of(0)
    gone, here = Caller(gone=True), Caller()
    stock.join(gone)
    stock.join(here)

    stock.hand_over(made(stock), AllocationTier.COLD, None, 0.0)

    assert here.got is not None


def test_with_nobody_waiting_there_is_nobody_to_hand_over_to():
    stock = stock_of(0)
    item = made(stock)

    assert not stock.hand_over(item, AllocationTier.COLD, None, 0.0)
    assert not stock.out


def test_whose_creation_went_to_the_head_gets_the_heads_creation():
    stock = stock_of(0)
    head, tail = Caller(), Caller()
    attempts = [Attempt(head), Attempt(tail)]
    for waiter, attempt in zip((head, tail), attempts, strict=True):
        stock.join(waiter)
        stock.begin(attempt)

    loser = stock.end(attempts[1])
    stock.hand_over(made(stock), AllocationTier.COLD, loser, 0.0)

    assert head.got is not None
    assert tail.attempt is attempts[0]
    assert attempts[0].waiter is tail


def test_a_creation_whose_caller_left_is_free_for_another():
    stock = stock_of(0)
    left, comes = Caller(), Caller()
    stock.join(left)
    stock.begin(Attempt(left))
    stock.leave(left)
    stock.join(comes)

    assert stock.shortage == 0
    assert stock.adopt(comes)
    assert not stock.adopt(Caller())


@pytest.mark.parametrize(
    ("idle", "waiting", "creating", "refilling", "missing"),
    [
        (0, 0, 0, True, 3),
        (2, 0, 0, True, 1),
        (3, 0, 0, True, 0),
        (0, 2, 0, True, 5),
        (0, 2, 4, True, 1),
        (0, 0, 5, True, -2),
        (1, 0, 0, False, 0),
        (0, 2, 1, False, 1),
    ],
)
def test_what_is_missing(idle, waiting, creating, refilling, missing):
    stock = stock_of(idle, target=3)
    stock.refilling = refilling
    for _ in range(waiting):
        stock.join(Caller())
    for _ in range(creating):
        stock.begin(Attempt())

    assert stock.shortage == missing


def test_room_counts_clients_creations_and_closes():
    stock = stock_of(1, max_size=4)
    stock.begin(Attempt())
    closing = made(stock)
    stock.passing[closing] = ItemState.CLOSING
    assert stock.room == 1

    stock.forget(closing)
    assert stock.room == 2


def test_a_client_being_warmed_is_not_counted_twice():
    stock = stock_of(0, max_size=1)
    attempt = Attempt()
    stock.begin(attempt)
    stock.add(Item(object(), HOOKS, now=0.0, jitter=1.0), attempt)

    assert stock.room == 0
    assert stock.counts()[ItemState.CREATING] == 0
    assert stock.counts()[ItemState.WARMING] == 1


def test_owners_are_told_apart():
    stock = stock_of(0)
    anonymous, leased = made(stock), made(stock)
    stock.own(anonymous, None, 1.0)
    stock.own(leased, "s1", 1.0)
    stock.expire("s1", 2.0)

    assert stock.owned == 2
    assert stock.revive("s1", 3.0) is leased
    assert stock.disown(leased, ItemState.RESETTING)
    assert not stock.disown(leased, ItemState.RESETTING)
    assert stock.counts()[ItemState.OUT] == stock.counts()[ItemState.RESETTING] == 1


def test_nothing_is_kept_without_a_target_and_a_peak_more_with_one():
    on_demand, warm = stock_of(0), stock_of(0, target=2)
    for stock in (on_demand, warm):
        stock.peak.note(3)

    assert on_demand.keep_size == 0
    assert on_demand.put(made(on_demand)) == "surplus"
    assert warm.keep_size == 5
    assert warm.put(made(warm)) is None


def test_a_retiring_client_stays_until_its_replacement_is_there():
    stock = stock_of(2, target=2)
    stock.refilling = True
    old = stock.idle[0]
    stock.retire(old)
    assert list(stock.replaced()) == []
    assert stock.shortage == 1

    stock.put(made(stock))

    assert list(stock.replaced()) == [old]


def test_every_client_is_in_one_place_whatever_happens():
    """A random walk over the transitions; the counts always add up."""
    rng = random.Random(5)
    stock = stock_of(0, target=3, max_size=8)
    stock.refilling = True
    for step in range(3000):
        choice = rng.randrange(6)
        if choice == 0 and stock.room >= 1:
            item = made(stock)
            stock.passing[item] = ItemState.WARMING
            if not stock.hand_over(item, AllocationTier.COLD, None, step) and stock.put(item):
                stock.passing[item] = ItemState.CLOSING
        elif choice == 1 and stock.idle:
            stock.own(stock.idle.pop(), rng.choice([None, f"s{step}"]), step)
        elif choice == 2 and stock.out:
            item = rng.choice(list(stock.out.values()))
            stock.disown(item, ItemState.RESETTING)
            if stock.put(item):
                stock.passing[item] = ItemState.CLOSING
        elif choice == 3 and stock.sessions:
            stock.expire(rng.choice(list(stock.sessions)), step)
        elif choice == 4 and stock.expired:
            stock.revive(rng.choice(list(stock.expired)), step)
        elif choice == 5:
            for item in [item for item, state in stock.passing.items() if state is ItemState.CLOSING]:
                stock.forget(item)
        places = [item for _, item in stock.places()]
        assert len(places) == len(set(places)) == len(stock.items)
        assert len(stock.items) <= 8
