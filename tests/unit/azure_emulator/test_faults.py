import threading
from typing import Any

import pytest

from speechpool.errors import SettingsError
from speechpool_azure_emulator.faults import ACTIONS, Fault, FaultList, parse_faults


def faults(*given: Fault) -> FaultList:
    of = FaultList(lambda: None)
    of.set(*given)
    return of


def strikes(of: FaultList, times: int, at: str = "request", kind: str = "tts") -> list[int]:
    return [len(of.take(at, kind)) for _ in range(times)]


def test_it_strikes_always_where_no_count_is_given() -> None:
    assert strikes(faults(Fault(at="request", action="reset")), 4) == [1, 1, 1, 1]


def test_it_strikes_the_next_n_times() -> None:
    assert strikes(faults(Fault(at="request", action="reset", times=2)), 4) == [1, 1, 0, 0]


def test_it_lets_some_pass_before() -> None:
    assert strikes(faults(Fault(at="request", action="reset", after=2, times=1)), 5) == [0, 0, 1, 0, 0]


def test_it_strikes_only_its_kind_and_point() -> None:
    of = faults(Fault(at="request", action="reset", kind="stt"))

    assert strikes(of, 1, kind="tts") == [0]
    assert strikes(of, 1, at="turn_end", kind="stt") == [0]
    assert strikes(of, 1, kind="stt") == [1]


def test_several_strike_in_the_order_they_were_set() -> None:
    of = faults(Fault(at="request", action="delay", seconds=1), Fault(at="request", action="reset"))

    assert [fault.action for fault in of.take("request", "tts")] == ["delay", "reset"]


def test_cleared_faults_strike_no_more() -> None:
    of = faults(Fault(at="request", action="reset"))
    of.clear()

    assert strikes(of, 1) == [0]


def test_added_faults_keep_the_counts_of_the_others() -> None:
    of = faults(Fault(at="request", action="reset", times=1))
    of.take("request", "tts")
    of.add(Fault(at="turn_end", action="omit"))

    assert [rule["struck"] for rule in of.as_json()] == [1, 0]
    assert of.struck() == 1


def test_whoever_watches_is_told_of_each_change() -> None:
    told: list[None] = []
    of = FaultList(lambda: told.append(None))
    of.set()
    of.add()
    of.clear()

    assert len(told) == 3


def test_idle_faults_wait_for_their_time() -> None:
    of = faults(Fault(at="idle", action="close", after_seconds=5, times=1))

    assert of.idle_seconds("tts") == 5
    assert of.take_idle("tts", 4.9) == []
    assert len(of.take_idle("tts", 5.0)) == 1
    assert of.idle_seconds("tts") is None


def test_threads_that_take_at_once_take_each_strike_once() -> None:
    of = faults(Fault(at="request", action="reset", times=50))
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.extend(strikes(of, 100))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(taken) == 50


def test_what_is_written_as_json_is_read_the_same() -> None:
    fault = Fault(at="upgrade", action="refuse", status=429, retry_after_seconds=2, times=3)
    written = faults(fault).as_json()[0]
    del written["struck"]

    assert Fault.parse(written) == fault


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "fault.at is missing"),
        ({"at": "request"}, "fault.action is missing"),
        ({"at": "never", "action": "reset"}, "fault.at must be one of upgrade, .*; got 'never'"),
        ({"at": "request", "action": "explode"}, "fault.action must be one of refuse, .*; got 'explode'"),
        ({"at": "audio", "action": "refuse"}, "cannot be done at 'audio'; it can at: upgrade, voices"),
        ({"at": "request", "action": "reset", "kind": "both"}, "fault.kind must be one of null, tts, stt; got 'both'"),
        ({"at": "request", "action": "reset", "times": 0}, "fault.times must be an integer from 1 .*; got 0"),
        ({"at": "request", "action": "reset", "after": -1}, "fault.after must be an integer from 0"),
        ({"at": "request", "action": "reset", "after": True}, "fault.after must be an integer"),
        ({"at": "request", "action": "close", "code": 999}, "fault.code must be an integer from 1000 to 4999; got 999"),
        (
            {"at": "request", "action": "close", "reason": "x" * 124},
            "fault.reason must have at most 123 bytes; got 124",
        ),
        ({"at": "upgrade", "action": "refuse", "status": 200}, "fault.status must be an integer from 300 to 599"),
        ({"at": "request", "action": "delay", "seconds": "1"}, "fault.seconds must be a number from 0 to 86400"),
        ({"at": "request", "action": "delay", "seconds": float("nan")}, "fault.seconds must be a number"),
        ({"at": "request", "action": "reset", "tims": 1}, "fault.tims is unknown; known are at, action"),
    ],
)
def test_a_wrong_fault_is_refused_with_its_field(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Fault.parse(values)


def test_a_wrong_fault_in_a_list_is_named_by_its_index() -> None:
    with pytest.raises(SettingsError, match=r"faults\[1\].action is missing"):
        parse_faults([{"at": "request", "action": "reset"}, {"at": "request"}])
    with pytest.raises(SettingsError, match=r"faults\[0\] must be an object; got str"):
        parse_faults(["x"])


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_can_be_done_somewhere(action: str) -> None:
    for at in ACTIONS[action]:
        assert Fault(at=at, action=action).at == at
