"""What goes down the streams: the newest, heartbeats, farewells, and how a sidecar is given up."""

import asyncio
import json

import pytest
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.settings.wire import Applying, Heartbeat, NewSettings, NoSettings, Revision, State, encode
from speechpool_operator.dispatch import AT_ONCE, Counts, Dispatch, Frames, Sender, text_frame
from speechpool_operator.streams import Cell, Limits

pytestmark = VIRTUAL

BEAT = 4.0


def settings(generation, **spec):
    revision = Revision(uid="u", generation=generation, hash=f"h{generation}")
    return NewSettings(name="calls/voice", revision=revision, spec=spec)


def answer(generation, word=Applying.APPLIED):
    return State(state=word, offered=settings(generation).revision)


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and sends nothing while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = []
        self.unsent = 0
        self.aborted = asyncio.Event()

    def write(self, data):
        size = {126: 4, 127: 10}.get(data[1], 2)
        self.texts.append(json.loads(data[size:]))

    def get_write_buffer_size(self):
        return self.unsent

    def abort(self):
        self.aborted.set()

    @property
    def kinds(self):
        return [one["type"] for one in self.texts]


class Line:
    """One stream without a socket."""

    def __init__(self, dispatch=None, *, life=1e9, counts=None, **limits):
        self.cell, self.wire = Cell(), Wire()
        self.parted = 0
        self.is_open = True
        self.applied = []
        self.counts = counts or Counts(self.applied.append)
        self.sender = Sender(
            self.cell,
            self.wire,
            is_open=lambda: self.is_open and not self.wire.aborted.is_set(),
            part=self.part,
            dispatch=dispatch or Dispatch(BEAT),
            counts=self.counts,
            limits=Limits(heartbeat_seconds=BEAT, **limits),
            expires_at=asyncio.get_running_loop().time() + life,
        )

    def part(self):
        self.parted += 1


async def test_what_is_put_goes_out_at_once_and_of_a_burst_only_the_newest():
    line, began = Line(), asyncio.get_running_loop().time()
    for generation in range(1, 100):
        line.cell.put(settings(generation))
    await settle()
    assert [one["generation"] for one in line.wire.texts] == [99]
    assert elapsed(began) == 0
    assert line.counts.pushed == 1
    line.sender.stop()


async def test_a_heartbeat_comes_in_each_interval_and_names_what_was_sent_last():
    line = Line()
    line.cell.put(settings(3))
    await settle()
    for _ in range(10):
        line.sender.heard()
        await asyncio.sleep(BEAT)
    assert line.wire.kinds == ["settings"] + ["heartbeat"] * 10
    assert {one["hash"] for one in line.wire.texts[1:]} == {"h3"}
    assert line.wire.texts[-1]["interval_seconds"] == BEAT
    line.sender.stop()


async def test_heartbeats_of_many_are_spread_over_the_interval():
    dispatch, heard_of = Dispatch(BEAT), []
    lines = [Line(dispatch) for _ in range(640)]
    began = asyncio.get_running_loop().time()
    while elapsed(began) < BEAT:
        before = sum(len(line.wire.texts) for line in lines)
        await asyncio.sleep(BEAT / 64)
        heard_of.append(sum(len(line.wire.texts) for line in lines) - before)
    assert max(heard_of) == 10
    for line in lines:
        line.sender.stop()


async def test_a_silent_sidecar_is_given_up_after_three_heartbeats():
    line, began = Line(), asyncio.get_running_loop().time()
    await line.wire.aborted.wait()
    assert line.cell.reason == "Silent"
    assert 3 * BEAT <= elapsed(began) <= 4 * BEAT + 0.1
    assert line.wire.kinds == ["heartbeat"] * 3
    line.sender.stop()


async def test_a_sidecar_that_speaks_is_never_given_up():
    line = Line()
    for _ in range(100):
        line.sender.heard()
        await asyncio.sleep(2.9 * BEAT)
    assert not line.cell.reason
    line.sender.stop()


async def test_a_standstill_of_the_operator_is_nobodys_silence(monkeypatch):
    """After it the turns go on where they stopped: the sidecars' answers, which wait in the sockets, are read first."""
    line, loop = Line(), asyncio.get_running_loop()
    await asyncio.sleep(BEAT)
    line.sender.heard()
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + 600)
    await asyncio.sleep(2 * BEAT)
    assert 2 <= len(line.wire.texts) <= 4
    assert not line.cell.reason
    line.sender.stop()


async def test_what_was_not_sent_holds_back_the_next_and_then_only_the_newest_goes():
    line = Line()
    line.wire.unsent = 70_000
    line.cell.put(settings(1))
    await settle()
    line.cell.put(settings(2))
    await settle()
    assert line.wire.texts == []
    line.wire.unsent = 0
    line.sender.drained()
    await settle()
    assert [one["generation"] for one in line.wire.texts] == [2]
    line.sender.stop()


async def test_a_sidecar_that_does_not_read_is_given_up_in_its_time():
    line = Line(send_seconds=1.0)
    line.wire.unsent = 70_000
    line.cell.put(settings(1))
    await settle()
    await asyncio.sleep(1.1)
    line.cell.put(settings(2))
    await settle()
    assert line.cell.reason == "Stuck"
    assert line.wire.aborted.is_set()
    line.sender.stop()


async def test_a_sidecar_that_does_not_read_is_given_up_though_nothing_new_comes():
    line = Line(send_seconds=1.0)
    line.wire.unsent = 70_000
    for _ in range(3):
        line.sender.heard()
        await asyncio.sleep(BEAT)
    assert line.cell.reason == "Stuck"
    line.sender.stop()


async def test_one_that_does_not_read_delays_nobody():
    dispatch = Dispatch(BEAT)
    stuck, well = Line(dispatch), Line(dispatch)
    stuck.wire.unsent = 70_000
    for line in (stuck, well):
        line.cell.put(settings(1))
    await settle()
    assert (stuck.wire.kinds, well.wire.kinds) == ([], ["settings"])
    for line in (stuck, well):
        line.sender.stop()


async def test_a_farewell_is_the_last_and_then_the_stream_parts():
    line = Line()
    line.cell.put(settings(1))
    line.cell.close("PodGone: deleted")
    await settle()
    line.cell.put(settings(2))
    await asyncio.sleep(3 * BEAT)
    assert line.wire.kinds == ["bye"]
    assert line.parted == 1
    line.sender.stop()


async def test_a_stream_ends_with_its_token():
    line = Line(life=60)
    for _ in range(20):
        line.sender.heard()
        await asyncio.sleep(BEAT)
    assert line.cell.reason == "TokenExpired"
    assert line.wire.kinds.index("bye") in (15, 16)
    line.sender.stop()


async def test_nothing_is_written_after_a_closing_frame():
    line = Line()
    line.is_open = False
    line.cell.put(settings(1))
    await asyncio.sleep(2 * BEAT)
    assert line.wire.texts == []
    line.sender.stop()


async def test_who_stopped_is_sent_nothing_and_no_timer_is_left():
    line = Line()
    line.cell.put(settings(1))
    line.sender.stop()
    with pytest.raises(TimeoutError):  # and not looptime's error that nothing would ever happen
        await asyncio.wait_for(asyncio.Event().wait(), 10 * BEAT)
    assert line.wire.texts == []


async def test_the_time_from_a_push_to_its_acknowledgement_is_told_once():
    line = Line()
    line.cell.put(settings(1))
    await asyncio.sleep(0.25)
    line.sender.answered(answer(1, Applying.APPLYING))
    line.sender.answered(answer(7))
    await asyncio.sleep(0.25)
    line.sender.answered(answer(1))
    line.sender.answered(answer(1))
    assert line.applied == [pytest.approx(0.5)]
    assert line.counts.answers == {Applying.APPLIED: 1}
    line.sender.stop()


async def test_a_refusal_is_counted_and_has_no_time():
    line = Line()
    line.cell.put(settings(1))
    await settle()
    line.sender.answered(answer(1, Applying.REJECTED))
    assert (line.applied, line.counts.answers) == ([], {Applying.REJECTED: 1})
    line.sender.stop()


async def test_a_sidecar_may_send_so_much_in_an_interval_and_more_for_what_it_was_sent():
    line = Line(messages_per_heartbeat=10)
    assert [line.sender.heard() for _ in range(11)] == [True] * 10 + [False]
    line.cell.put(settings(1))
    await settle()
    assert [line.sender.heard() for _ in range(4)] == [True] * 3 + [False]
    await asyncio.sleep(BEAT)
    assert line.sender.heard()
    line.sender.stop()


async def test_what_cannot_be_sent_is_left_out_and_the_stream_lives(caplog):
    line = Line()
    line.cell.put(settings(1, lexicon="x" * 2**20))
    await settle()
    line.cell.put(settings(2))
    await settle()
    assert [one["generation"] for one in line.wire.texts] == [2]
    assert caplog.messages == ["settings not sent"]
    line.sender.stop()


async def test_a_crowd_is_written_to_in_parts_so_that_what_comes_in_is_read_between():
    dispatch = Dispatch(BEAT)
    lines = [Line(dispatch) for _ in range(3 * AT_ONCE)]
    for line in lines:
        line.cell.put(settings(1))
    seen = []
    for _ in range(4):
        await asyncio.sleep(0)
        seen.append(sum(len(line.wire.texts) for line in lines))
    assert seen == [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE, 3 * AT_ONCE]
    for line in lines:
        line.sender.stop()


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_says_how_long_its_text_is(size):
    frame = text_frame("x" * size)
    short = frame[1]
    told = {126: int.from_bytes(frame[2:4], "big"), 127: int.from_bytes(frame[2:10], "big")}.get(short, short)
    assert (frame[0], told, frame[-size:] if size else b"") == (0x81, size, b"x" * size)
    assert len(frame) == size + {126: 4, 127: 10}.get(short, 2)


def test_a_message_for_many_is_written_out_once():
    frames, message = Frames(), settings(1)
    assert frames(message) is frames(message)
    assert frames(Heartbeat(hash="h")) is frames(Heartbeat(hash="h"))


def test_equal_ids_of_other_messages_are_never_mixed_up():
    frames = Frames()
    for generation in range(1, 1000):
        assert f'"generation":{generation},'.encode() in frames(settings(generation))
    none = NoSettings(reason="NoMatch")
    assert frames(none) == text_frame(encode(none))
