"""Utterances: text to the audio that a caller asked for, event by event."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from speechpool.audio.formats import response_format
from speechpool.errors import EngineFailed, EngineTimeout, SpeechError
from speechpool.formats import AudioFormat
from speechpool.service.clauses import Clause
from speechpool.service.context import Context
from speechpool.service.deadlines import Attempts, Patience, is_broken, stop, within
from speechpool.service.events import AudioBytes, Played, SpeakEvent, SpeechSummary
from speechpool.service.played import CHARACTERS_PER_SECOND, PlayedAccount
from speechpool.service.prompt_cache import CACHED, Prompt, Recording
from speechpool.service.readings import SourceWords
from speechpool.service.requests import SpeakOptions, check_speed
from speechpool.service.selection import choose_synthesis
from speechpool.service.sessions import Activity
from speechpool.service.speech_pools import SynthesisPool, Use
from speechpool.service.streams import EventStream
from speechpool.settings import PoolKind
from speechpool.speech.engine import (
    AudioChunk,
    Speaking,
    SpeechEvent,
    SynthesisClient,
    Utterance,
    WordBoundary,
)

__all__ = ["MAX_BUFFERED_BYTES", "UtteranceStream"]

MAX_BUFFERED_BYTES = 256 * 1024
"""Audio that may wait for the consumer: 5 s of 24 kHz PCM."""

_MARK_WEIGHT = 64  # bytes that an event without audio counts for in the buffer


class UtteranceStream(EventStream[SpeakEvent]):
    """One text on its way to being audio. Made by `SpeechService.speak()`.

    Args:
        context: What all uses share.
        options: How it is to be said.
        text: What is to be said; None where it comes later.
        is_ssml: Whether `text` is an SSML document.

    Raises:
        InvalidInput: An option is wrong.
        EngineUnavailable: The engine is not open.
        PoolClosed: The service is draining.
    """

    def __init__(self, context: Context, options: SpeakOptions, text: Clause | None, *, is_ssml: bool = False) -> None:
        context.check_open()
        check_speed(options.speed)
        super().__init__(context, Activity.SPEAKING, options.session_id, MAX_BUFFERED_BYTES)
        self._options = options
        self._text = text
        self._is_ssml = is_ssml
        self._target = response_format(options.response_format, options.sample_rate_hz)
        self._voice = context.engine.resolve_voice(options.voice or context.settings.default_voice)
        self._account = PlayedAccount(CHARACTERS_PER_SECOND * options.speed)
        self._characters = len(text.text) if text else 0
        self._clause_at_seconds = 0.0
        self._clause_has_audio = False
        self._clause_attempts = 0
        self._clause: Clause | None = None  # the one that is being said
        self._speaking: Speaking | None = None
        self._attempts = Attempts()
        self._patience: Patience[SpeechEvent] | None = None  # with the engine, while it speaks
        self._held: list[SpeakEvent] = []  # what came before the first audio of a clause: another client may redo it
        self._prompt: Prompt | None = None  # said before: no client is needed
        self._recording: Recording | None = None  # not said before, but perhaps again
        self._engine_seconds = 0.0
        self._bytes_sent = 0
        self._played_seconds = 0.0
        self.attempts = 0
        self.first_byte_seconds: float | None = None

    @property
    def response_format(self) -> str:
        """Name of the format that comes out."""
        return self._target.name

    @property
    def content_type(self) -> str:
        """Its media type."""
        return self._target.content_type

    @property
    def content_format(self) -> AudioFormat:
        """The audio in it, with its rate."""
        return self._target.audio

    def played(self, seconds: float | None = None) -> Played:
        """What went out so far, and which text that was.

        Args:
            seconds: How far a player of the consumer's own has come; None for all that was handed over.
        """
        if seconds is None:
            return self._account.up_to(self._played_seconds)
        return self._account.up_to(max(0.0, min(seconds, self._played_seconds)))

    async def cancel(self) -> Played:
        """Stop now; the summary is the only event that follows. Safe at any time, from any task.

        Returns:
            What went out.
        """
        began_at = self._context.clock()
        was_active = self.is_active
        played = self.played()
        await self._cancel_now()
        if was_active:
            self._context.metrics.canceled(self.pool, self._context.clock() - began_at)
        return played

    # --- before the task ---

    def _admit(self) -> None:
        self._speech_pool = self._choose_pool()
        self.pool = self._speech_pool.name
        self._transcoder = self._context.codecs.transcoder(self._speech_pool.format, self._target)
        self._look_up()
        if self._prompt is None:
            self._speech_pool.caps.admit(self._characters)

    def _look_up(self) -> None:
        """Find the utterance in the prompt cache, or have it recorded for those who ask for it later."""
        prompts, options = self._context.prompts, self._options
        if self._text is None or not prompts.is_on:
            return
        sound = (self._voice, options.speed, options.style, options.visemes, self.pool)
        form = (self._target.name, self._target.audio.sample_rate_hz)
        key = prompts.key(self._text.text, self._is_ssml, *sound, *form)
        self._prompt = prompts.find(key)
        self._recording = prompts.record(key) if self._prompt is None else None

    @property
    def _comes_in_pieces(self) -> bool:
        """Whether an engine could be given the text while it comes."""
        return False

    def _choose_pool(self) -> SynthesisPool:
        """The session's own pool if that can serve, because its client is there; else the best."""
        pools = self._context.pools.synthesis
        bound = self._claim.bound_pool(PoolKind.TEXT_TO_SPEECH)
        for pool in pools if self._options.pool is None else ():
            if pool is bound and (pool.format.is_raw or pool.format == self._target.audio):
                return pool
        return choose_synthesis(pools, self._target, self._options.pool, is_streamed=self._comes_in_pieces)

    # --- the task ---

    async def _work(self) -> None:
        limit_seconds = self._context.settings.utterance_timeout_seconds
        async with within(limit_seconds, "the utterance took longer than", "utterance_timeout_seconds"):
            if self._prompt:
                await self._replay(self._prompt)
            else:
                await self._make()

    async def _replay(self, prompt: Prompt) -> None:
        """Say what was said before."""
        self.tier = CACHED
        self._let_in()
        text = await self._next_clause()
        self._account.begin(text.text if text else "", is_ssml=self._is_ssml, at_seconds=0.0)
        for event, seconds in prompt.events:
            if isinstance(event, AudioBytes):
                await self._hand_over(event, seconds)
                continue
            if isinstance(event, WordBoundary):
                self._account.word(event)
                if not self._options.word_boundaries:
                    continue
            await self._buffer.put((event, seconds), _MARK_WEIGHT)
        self._account.end(prompt.seconds)

    async def _make(self) -> None:
        async with self._transcoder:
            await self._say_all()
            await self._put_audio(await self._transcoder.finish())
        if self._recording:
            self._recording.keep(self._transcoder.seconds_in)

    async def _say_all(self) -> None:
        """Say clause after clause with one client; another takes over where it fails before a clause's first audio."""
        while not await self._try():
            pass

    async def _try(self) -> bool:
        """Say what is left with one client; False where another must go on with the same clause."""
        self._attempts.begin()
        use: Use[SynthesisClient] | None = None
        try:
            async with self._speech_pool.use(self._session_id) as use:
                self._take_client(use)
                await self._say_with(use)
        except SpeechError as error:
            endpoint = self.report.endpoint if use else None
            can_go_on = self._attempts.may_go_on(error, endpoint=endpoint, is_acquiring=use is None)
            if self._clause_has_audio or not can_go_on:
                raise
            self._context.metrics.retried(self._speech_pool.name, error)
            await asyncio.sleep(self._attempts.pause_seconds)
            return False
        return True

    def _take_client(self, use: Use[SynthesisClient]) -> None:
        self.attempts += 1
        self._claim.bind(self._speech_pool, use.tier.value)
        self._acquired(use.tier.value, use.wait_seconds)

    async def _say_with(self, use: Use[SynthesisClient]) -> None:
        """Say the clause that is not said yet, and those after it."""
        while clause := self._clause or await self._next_clause():
            self._clause = clause
            await self._say(use, clause)
            self._clause = None
            self._clause_attempts = 0
            self._attempts = Attempts()
            self._attempts.begin()

    async def _next_clause(self) -> Clause | None:
        """What is to be said next; None at the end."""
        text, self._text = self._text, None
        return text

    async def _say(self, use: Use[SynthesisClient], clause: Clause) -> None:
        self._attempts.check_endpoint(use.client.endpoint)
        self._begin(clause)
        try:
            self._speaking = speaking = self._start(use.client, clause)
        except EngineFailed:
            use.discard()
            raise
        try:
            await self._relay(speaking, clause)
        except BaseException as error:
            await stop(speaking, use)
            if is_broken(error):
                use.discard()
            raise
        finally:
            self._take_report(speaking.report)
        self._account.end(self._transcoder.seconds_in)

    def _start(self, client: SynthesisClient, clause: Clause) -> Speaking:
        return client.speak(self._utterance(clause))

    def _begin(self, clause: Clause) -> None:
        self._clause_at_seconds = self._transcoder.seconds_in
        self._clause_has_audio = False
        if self._clause_attempts:
            self._account.restart(self._clause_at_seconds)
            if self._recording:
                self._recording.restart()
        else:
            self._account.begin(clause.text, is_ssml=self._is_ssml, at_seconds=self._clause_at_seconds)
        self._clause_attempts += 1
        self._held = list(self._opening(clause))

    def _opening(self, clause: Clause) -> Sequence[SpeakEvent]:  # noqa: ARG002 - for the streams of several clauses
        """What is told before a clause."""
        return ()

    def _utterance(self, clause: Clause) -> Utterance:
        more_characters = self._context.settings.max_ssml_characters
        reading = self._context.lexicon.read(clause.text, is_ssml=self._is_ssml, more_characters=more_characters)
        self._words = SourceWords(reading)
        return Utterance(
            text=reading.text,
            is_ssml=reading.is_ssml,
            voice=self._voice,
            speed=self._options.speed,
            style=self._options.style,
            # whoever barges in wants to know which text went out, and whoever hears it from memory may want its words
            word_boundaries=self._options.word_boundaries or self._options.tells_played or self._recording is not None,
            visemes=self._options.visemes,
        )

    async def _relay(self, speaking: Speaking, clause: Clause) -> None:
        """Pass the engine's events on; each is awaited as long as the settings say, the consumer's pace left out."""
        self._patience = patience = Patience(aiter(speaking), self._context.clock, self._due_at)
        try:
            async with patience:
                while event := await patience.next():
                    await self._pass_on(event, clause)
        except TimeoutError:
            if not patience.expired:
                raise
            raise self._silence() from None
        finally:
            self._patience = None
            self._engine_seconds += patience.seconds

    def _due_at(self, began_at: float, asked_at: float) -> float | None:
        """When the next event is due; None for never."""
        if self._clause_has_audio:
            return asked_at + self._context.settings.chunk_gap_timeout_seconds
        return began_at + self._context.settings.first_chunk_timeout_seconds

    def _silence(self) -> EngineTimeout:
        settings = self._context.settings
        if self._clause_has_audio:
            return EngineTimeout(f"no audio for chunk_gap_timeout_seconds = {settings.chunk_gap_timeout_seconds:g}")
        limit_seconds = settings.first_chunk_timeout_seconds
        return EngineTimeout(f"no first audio within first_chunk_timeout_seconds = {limit_seconds:g}")

    async def _pass_on(self, event: SpeechEvent, clause: Clause) -> None:
        if isinstance(event, AudioChunk):
            await self._pass_audio(event.data)
            return
        if isinstance(event, WordBoundary):
            word = self._words.find(event)
            if word is None:
                return
            event = word
        mark = clause.place(event, self._clause_at_seconds)
        if self._recording:
            self._recording.add(mark, self._transcoder.seconds_out)
        if isinstance(mark, WordBoundary):
            self._account.word(replace(mark, text_offset=mark.text_offset - clause.offset))
            if not self._options.word_boundaries:
                return
        if self._clause_has_audio:
            await self._put(mark)
        else:
            self._held.append(mark)

    async def _pass_audio(self, data: bytes) -> None:
        if not self._clause_has_audio:
            self._clause_has_audio = True
            if self._speaking:
                self._take_report(self._speaking.report)
            for event in self._held:
                await self._put(event)
            self._held = []
        await self._put_audio(await self._transcoder.feed(data))

    async def _put_audio(self, data: bytes) -> None:
        if not data:
            return
        audio, seconds = AudioBytes(data), self._transcoder.seconds_out
        if self._recording:
            self._recording.add(audio, seconds)
        await self._hand_over(audio, seconds)

    async def _hand_over(self, audio: AudioBytes, seconds: float) -> None:
        is_first = self.first_byte_seconds is None
        if is_first:
            self.first_byte_seconds = self.seconds
        await self._buffer.put((audio, seconds), len(audio.data))
        if is_first:
            await asyncio.sleep(0)  # the consumer's turn, before the rest of what the engine sent in one go

    async def _put(self, event: SpeakEvent) -> None:
        await self._buffer.put((event, self._transcoder.seconds_out), _MARK_WEIGHT)

    # --- the end ---

    def _on_taken(self, event: SpeakEvent, mark: float) -> None:
        if isinstance(event, AudioBytes):
            self._bytes_sent += len(event.data)
            self._played_seconds = mark

    def _count(self) -> None:
        if self._recording:
            self._recording.drop()
        made_seconds = self._transcoder.seconds_in
        characters = self._characters
        self._speech_pool.caps.count_audio(made_seconds)
        if not made_seconds:
            if not self._prompt:
                self._speech_pool.caps.give_back(characters)
            characters = 0
        self._context.metrics.spoke(self, characters=characters, audio_seconds=made_seconds, rtf=self._rtf())

    def _rtf(self) -> float | None:
        made_seconds = self._transcoder.seconds_in
        return self._engine_seconds / made_seconds if made_seconds else None

    def _summary(self) -> SpeechSummary:
        return SpeechSummary(
            outcome=self.outcome,
            pool=self.pool,
            tier=self.tier,
            wait_seconds=self.wait_seconds,
            first_byte_seconds=self.first_byte_seconds,
            audio_seconds=self._played_seconds,
            characters=self._characters,
            bytes_sent=self._bytes_sent,
            seconds=self.seconds,
            rtf=self._rtf(),
            attempts=self.attempts,
            played=self.played(),
            report=self.report,
            warm_miss=self.is_warm_miss,
        )
