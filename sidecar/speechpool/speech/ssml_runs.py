"""The text of SSML alone, for who looks for words in it: read in half the time that all parts of a document take."""

from bisect import bisect_left

from speechpool.speech.ssml import SILENT_ELEMENTS, Reader

__all__ = ["TextRuns", "text_runs"]


def text_runs(document: str, *, without: frozenset[str]) -> "TextRuns":
    """The text of a document, but for that of CDATA sections.

    Args:
        document: The document.
        without: Elements whose text is left out, beside those that are not spoken.

    Raises:
        InvalidInput: It is not SSML (param `input`, code `invalid_ssml` or `invalid_characters`).
    """
    runs = TextRuns(document, silent=SILENT_ELEMENTS | without)
    runs.read()
    return runs


class TextRuns(Reader):
    """Stretches of text that nothing parts, as one text, and the way back into the document.

    Args:
        document: The document.
        silent: Elements whose text is left out.
    """

    def __init__(self, document: str, *, silent: frozenset[str]) -> None:
        super().__init__(document, silent=silent)
        self._texts: list[str] = []
        self._length = 0
        self._is_parted = True
        # for each piece of text where it begins in the whole, where it begins and ends in the document, and whether it
        # is there as a reference
        self._pieces: list[tuple[int, int, int, bool]] = []

    @property
    def text(self) -> str:
        """All runs, with a NUL, which no document has, between two of them."""
        return "".join(self._texts)

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where in the document a stretch of `text` is; of a reference each character is the whole of it."""
        at, begin, _, is_reference = self._piece(start)
        begins = begin if is_reference else begin + start - at
        at, begin, ends, is_reference = self._piece(end - 1)
        return begins, ends if is_reference else begin + end - at

    def on_start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - whatever it is, it parts
        """A start tag parts what is beside it."""
        if not self._is_parted:
            self._part()

    def on_end(self, name: str) -> None:  # noqa: ARG002 - whatever it is, it parts
        """So does an end tag."""
        if not self._is_parted:
            self._part()

    def on_text(self, text: str, start: int, end: int, *, is_cdata: bool) -> None:
        """Text goes on with what came before, unless something was between."""
        if is_cdata:
            self._part()
            return
        size = len(text)
        self._pieces.append((self._length, start, end, end - start != size))
        self._texts.append(text)
        self._length += size
        self._is_parted = False

    def _part(self) -> None:
        self._is_parted = True
        self._texts.append("\0")
        self._length += 1

    def _piece(self, index: int) -> tuple[int, int, int, bool]:
        return self._pieces[bisect_left(self._pieces, (index + 1,)) - 1]
