"""What a recognition asks for: from the URL, or from `speech.context`, as the client chose to say it."""

from typing import Any

from speechpool_azure_emulator.ledger import RecognitionRecord

__all__ = ["read_request", "silence_seconds"]

_MODES = ("interactive", "conversation", "dictation")


def read_request(record: RecognitionRecord, context: dict[str, Any]) -> None:
    """Note in `record` what is asked for."""
    query = record.connection.query
    detection = _object(context, "phraseDetection")
    record.context = context
    record.mode = _mode(record.connection.path, detection)
    record.language = str(detection.get("language") or query.get("language") or "en-US")
    record.languages = _languages(context, query)
    output = _object(context, "phraseOutput")
    record.is_detailed = "detailed" in (query.get("format", "").lower(), str(output.get("format", "")).lower())
    record.phrase_list = tuple(_phrase_list(context))


def silence_seconds(context: dict[str, Any], default_seconds: float) -> float:
    """The silence that ends a segment, in seconds."""
    detection = _object(context, "phraseDetection")
    for mode in _MODES:
        milliseconds = _object(_object(detection, mode.upper()), "segmentation").get("segmentationSilenceTimeoutMs")
        if isinstance(milliseconds, int | float) and milliseconds > 0:
            return float(milliseconds) / 1000
    return default_seconds


def _mode(path: str, detection: dict[str, Any]) -> str:
    named = str(detection.get("mode", "")).lower()
    if named in _MODES:
        return named
    return next((mode for mode in _MODES if f"/{mode}/" in path), "conversation")


def _languages(context: dict[str, Any], query: dict[str, str]) -> tuple[str, ...]:
    given = _object(context, "languageId").get("languages")
    if isinstance(given, list):
        return tuple(str(language) for language in given)
    listed = query.get("lidEnabled", "")
    return tuple(listed.split(",")) if listed else ()


def _phrase_list(context: dict[str, Any]) -> list[str]:
    groups = _object(context, "dgi").get("Groups")
    items = [item for group in _list(groups) for item in _list(group.get("Items"))]
    return [str(item["Text"]) for item in items if "Text" in item]


def _object(of: dict[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
