"""One knob: everything there is to know about one setting, written where the setting is declared."""

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from enum import StrEnum
from typing import Any

from speechpool.settings.kinds import Integer, Kind, Number

__all__ = ["Effect", "Knob", "PoolKind", "knob", "knobs_of"]


class PoolKind(StrEnum):
    """What the clients of a pool do."""

    TEXT_TO_SPEECH = "TextToSpeech"
    SPEECH_TO_TEXT = "SpeechToText"


class Effect(StrEnum):
    """What a change at run time does."""

    LIVE = "live"
    """It holds at once."""
    REPLACE = "replace"
    """It holds at once for new clients: a new pool is made, then the old one drains."""
    RESTART = "restart"
    """It is reported as pending, and holds from the next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One setting under all its names.

    Args:
        name: In Python.
        key: In a file, in a SpeechPool object and in `GET /v1/config`.
        env: In the environment, or None where it has no variable.
        kind: What its values may be.
        default: What holds where no source sets it.
        stt_default: The default of a SpeechToText pool, where it differs.
        engine_defaults: By engine, the defaults of a TextToSpeech and of a SpeechToText pool, where they differ.
        unit: "seconds", "characters", …; empty where there is none.
        effect: What a change at run time does.
        only: The one kind of pool that has it, or None.
        fallback: Whether a value outside `pools` holds for every pool; pool settings only.
        in_file: Whether a file may set it.
        secret: Whether its value must never be shown.
        doc: One sentence.
        default_doc: The default in words, where the value alone does not say it.
    """

    name: str = ""
    key: str
    env: str | None
    kind: Kind[Any]
    default: object
    stt_default: object
    engine_defaults: Mapping[str, tuple[object, object]] = field(hash=False)
    unit: str
    effect: Effect
    only: PoolKind | None
    fallback: bool
    in_file: bool
    secret: bool
    doc: str
    default_doc: str

    @property
    def flag(self) -> str | None:
        """The command line flag: the variable's name without its prefix, or None where there is none."""
        if self.env is None or self.secret:
            return None
        short = self.env.removeprefix("SPEECH_POOL_").removeprefix("SPEECHPOOL_")
        return "--" + short.lower().replace("_", "-")

    @property
    def is_live(self) -> bool:
        """Whether a change at run time holds without a restart."""
        return self.effect is not Effect.RESTART

    def default_of(self, kind: PoolKind, engine: str = "") -> object:
        """The default in a pool of this kind, with this engine."""
        pair = self.engine_defaults.get(engine, (self.default, self.stt_default))
        return pair[kind is PoolKind.SPEECH_TO_TEXT]

    def applies_to(self, kind: PoolKind) -> bool:
        """Whether pools of this kind have it."""
        return self.only in (None, kind)

    def default_text(self) -> str:
        """The default, for people."""
        if self.default_doc:
            return self.default_doc
        pairs = {"": (self.default, self.stt_default), **self.engine_defaults}
        texts = {engine: self._pair_text(pair) for engine, pair in pairs.items()}
        return "; ".join(f"with {engine} {text}" if engine else text for engine, text in texts.items())

    def _pair_text(self, pair: tuple[object, object]) -> str:
        first, second = (self.text(self.kind.to_value(value)) for value in pair)
        return first if first == second else f"{first}, for SpeechToText {second}"

    def text(self, value: object) -> str:
        """A value as a file holds it, for people."""
        if value in (None, [], {}):
            return "none"
        if value == 0 and isinstance(self.kind, Integer | Number) and self.kind.off:
            return "0 (off)"
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def knob(
    *,
    key: str,
    kind: Kind[Any],
    default: object,
    doc: str,
    env: str | None = None,
    stt_default: object = MISSING,
    engine_defaults: Mapping[str, tuple[object, object]] | None = None,
    unit: str = "",
    effect: Effect = Effect.LIVE,
    only: PoolKind | None = None,
    fallback: bool = True,
    in_file: bool = True,
    secret: bool = False,
    default_doc: str = "",
) -> Any:  # noqa: ANN401 # as dataclasses.field(): it stands for a value of the field's own type
    """A dataclass field that is a knob; the arguments are `Knob`'s."""
    described = Knob(
        key=key,
        env=env,
        kind=kind,
        default=default,
        stt_default=default if stt_default is MISSING else stt_default,
        engine_defaults=engine_defaults or {},
        unit=unit,
        effect=effect,
        only=only,
        fallback=fallback,
        in_file=in_file,
        secret=secret,
        doc=doc,
        default_doc=default_doc,
    )
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"knob": described})
    return field(default=default, repr=not secret, metadata={"knob": described})


def knobs_of(settings: type) -> tuple[Knob, ...]:
    """The knobs that a settings class declares, in order."""
    return tuple(
        dataclasses.replace(declared.metadata["knob"], name=declared.name)
        for declared in dataclasses.fields(settings)
        if "knob" in declared.metadata
    )
