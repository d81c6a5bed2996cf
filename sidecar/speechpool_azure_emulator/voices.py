"""The voices of the emulator: a few of the service's own, with their names and languages."""

from typing import Any

__all__ = ["VOICES", "is_voice", "voice_list"]

_FEMALE = """
en-US-AvaMultilingualNeural en-US-EmmaMultilingualNeural en-US-JennyNeural en-US-AriaNeural
en-US-JaneNeural en-US-NancyNeural en-US-SaraNeural en-US-AvaNeural en-US-EmmaNeural
en-US-JennyMultilingualNeural en-US-NovaTurboMultilingualNeural en-US-ShimmerTurboMultilingualNeural
en-US-CoraMultilingualNeural en-US-PhoebeMultilingualNeural en-US-AmandaMultilingualNeural
en-US-LolaMultilingualNeural en-US-SerenaMultilingualNeural en-US-NancyMultilingualNeural
en-GB-SoniaNeural en-GB-LibbyNeural de-DE-KatjaNeural de-DE-SeraphinaMultilingualNeural de-DE-AmalaNeural
fr-FR-DeniseNeural fr-FR-VivienneMultilingualNeural es-ES-ElviraNeural it-IT-ElsaNeural
pt-BR-FranciscaNeural ja-JP-NanamiNeural zh-CN-XiaoxiaoNeural
"""
_MALE = """
en-US-AndrewMultilingualNeural en-US-BrianMultilingualNeural en-US-GuyNeural en-US-DavisNeural
en-US-JasonNeural en-US-TonyNeural en-US-AndrewNeural en-US-BrianNeural en-US-RyanMultilingualNeural
en-US-AlloyTurboMultilingualNeural en-US-EchoTurboMultilingualNeural en-US-FableTurboMultilingualNeural
en-US-OnyxTurboMultilingualNeural en-US-AdamMultilingualNeural en-US-ChristopherMultilingualNeural
en-US-BrandonMultilingualNeural en-US-DerekMultilingualNeural en-US-DustinMultilingualNeural
en-US-LewisMultilingualNeural en-US-SteffanMultilingualNeural en-US-DavisMultilingualNeural
en-GB-RyanNeural de-DE-ConradNeural de-DE-FlorianMultilingualNeural fr-FR-HenriNeural
fr-FR-RemyMultilingualNeural es-ES-AlvaroNeural it-IT-DiegoNeural pt-BR-AntonioNeural ja-JP-KeitaNeural
zh-CN-YunxiNeural
"""
_STYLES = {
    "en-US-JennyNeural": ["assistant", "chat", "cheerful", "customerservice", "sad", "whispering"],
    "en-US-AriaNeural": ["angry", "chat", "cheerful", "customerservice", "empathetic", "excited", "sad"],
    "en-US-GuyNeural": ["angry", "cheerful", "excited", "newscast", "sad"],
    "de-DE-ConradNeural": ["cheerful", "sad"],
}


def _entry(name: str, gender: str) -> dict[str, Any]:
    locale, _, rest = name.rpartition("-")
    person = rest.removesuffix("Neural").replace("Multilingual", " Multilingual").replace("Turbo", " Turbo")
    entry = {
        "Name": f"Microsoft Server Speech Text to Speech Voice ({locale}, {rest})",
        "DisplayName": person,
        "LocalName": person,
        "ShortName": name,
        "Gender": gender,
        "Locale": locale,
        "LocaleName": locale,
        "SampleRateHertz": "24000",
        "VoiceType": "Neural",
        "Status": "GA",
        "WordsPerMinute": "150",
    }
    return entry | ({"StyleList": _STYLES[name]} if name in _STYLES else {})


VOICES = {name: _entry(name, "Female") for name in _FEMALE.split()} | {
    name: _entry(name, "Male") for name in _MALE.split()
}
"""Entries of the list of voices, by short name."""

_LONG_NAMES = {entry["Name"] for entry in VOICES.values()}


def is_voice(name: str) -> bool:
    """Whether a request may name that voice, by its short or its long name, or OpenAI's form of it."""
    return name.partition(":")[0] in VOICES or name in _LONG_NAMES


def voice_list() -> list[dict[str, Any]]:
    """The list as the service answers it."""
    return list(VOICES.values())
