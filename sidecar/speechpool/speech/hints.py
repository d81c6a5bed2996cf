"""How much a recogniser may be told beforehand: the same for every engine, whoever asks it."""

__all__ = ["MAX_GRAMMAR_SENTENCES", "MAX_PHRASES"]

MAX_PHRASES = 500
"""Azure's bound of a phrase list (Microsoft Learn, "Improve recognition accuracy with phrase list")."""

MAX_GRAMMAR_SENTENCES = 500
"""A guess: pocketsphinx builds 1,000 sentences of 6 words in 0.6 s, 5,000 in 21 s (measured)."""
