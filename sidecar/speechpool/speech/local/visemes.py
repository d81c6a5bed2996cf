"""Mouth shapes of phonemes: espeak-ng's IPA to the viseme ids of Azure Speech, which talking heads are drawn for.

The ids are those of Azure's documentation, "Get facial position with viseme", table "Map phonemes to visemes".
"""

# ruff: noqa: RUF001 - IPA letters look like others

__all__ = ["viseme_id"]

_SHAPES: dict[int, tuple[str, ...]] = {
    1: ("æ", "ə", "ʌ", "ɐ", "a"),
    2: ("ɑ", "ɒ"),
    3: ("ɔ",),
    4: ("ɛ", "ʊ", "e", "ø", "œ"),
    5: ("ɝ", "ɚ", "ɜ"),
    6: ("j", "i", "ɪ", "y", "ᵻ", "ʏ", "ɨ", "ɯ"),
    7: ("w", "u", "ʍ", "ʉ"),
    8: ("o", "ɤ"),
    9: ("aʊ",),
    10: ("ɔɪ",),
    11: ("aɪ",),
    12: ("h", "x", "χ", "ħ", "ɦ", "ʔ"),
    13: ("ɹ", "r", "ɾ", "ʁ", "ɻ"),
    14: ("l", "ɫ", "ʎ", "ɭ"),
    15: ("s", "z", "ts", "dz"),
    16: ("ʃ", "ʒ", "tʃ", "dʒ", "ç", "ɕ", "ʑ", "tɕ", "dʑ", "ʂ", "ʐ"),
    17: ("ð",),
    18: ("f", "v", "ɸ", "pf"),
    19: ("d", "t", "n", "θ", "ɲ", "ɳ", "ʈ", "ɖ", "c", "ɟ"),
    20: ("k", "ɡ", "g", "ŋ", "ɣ", "q", "ɢ"),
    21: ("p", "b", "m", "β", "ɓ"),
}
_IDS = {phoneme: shape for shape, phonemes in _SHAPES.items() for phoneme in phonemes}
_MARKS = str.maketrans("", "", "ˈˌːˑʲʰʷ̩̃͡ '_-|!")  # stress, length and what else changes no shape
_SILENCE = 0


def viseme_id(phoneme: str) -> int | None:
    """The viseme of a phoneme, or None where nobody has said which it is.

    Args:
        phoneme: In IPA, with stress and length marks or without; empty for a pause.
    """
    plain = phoneme.translate(_MARKS)
    if not plain:
        return _SILENCE
    return _IDS.get(plain, _IDS.get(plain[0]))
