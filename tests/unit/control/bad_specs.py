"""Specs that are wrong, each with what the API server says of it and the path that a reader names."""

from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["BAD_SPECS", "BadSpec", "pools", "spec", "stt", "tts"]

SELECTOR = {"matchLabels": {"app": "voice-agent"}}


class BadSpec(NamedTuple):
    """One wrong spec.

    Args:
        spec: The spec.
        said: Parts of the API server's message: the field's path first, then the bound or what to do.
        path: The path in the reader's problem where it is another; "" where only the API server is strict.
    """

    spec: Any
    said: Iterable[str]
    path: str | None = None

    @property
    def read_path(self) -> str:
        return next(iter(self.said)) if self.path is None else self.path


def spec(**values: Any) -> dict[str, Any]:
    return {"selector": SELECTOR, **values}


def tts(name: str = "a", **values: Any) -> dict[str, Any]:
    return {"name": name, "kind": "TextToSpeech", **values}


def stt(name: str = "b", **values: Any) -> dict[str, Any]:
    return {"name": name, "kind": "SpeechToText", **values}


def pools(*each: Any, **values: Any) -> dict[str, Any]:
    return spec(pools=list(each), **values)


def labels(**values: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": values}}


def expression(**values: Any) -> dict[str, Any]:
    return {"selector": {"matchExpressions": [values]}}


def words(*each: Any) -> dict[str, Any]:
    return spec(lexicon=list(each))


BAD_SPECS = {
    # the whole
    "no spec": BadSpec(None, ["spec", "Required"]),
    "spec is a text": BadSpec("warmSize: 3", ["spec", "object"]),
    "spec is a list": BadSpec([], ["spec", "object"]),
    # whom it is for
    "no selector": BadSpec({"warmSize": 3}, ["spec.selector", "Required"]),
    "selector is a text": BadSpec({"selector": "app=voice"}, ["spec.selector", "must be of type object"]),
    "empty selector": BadSpec({"selector": {}}, ["spec.selector", "must have at least one term", "matchLabels"]),
    "selector of empty terms": BadSpec(
        {"selector": {"matchLabels": {}, "matchExpressions": []}}, ["spec.selector", "must have at least one term"]
    ),
    "selector with an unknown field": BadSpec(
        {"selector": {**SELECTOR, "labels": {}}}, ['unknown field "spec.selector.labels"'], "spec.selector.'labels'"
    ),
    "label that is a number": BadSpec(labels(app=3), ["spec.selector.matchLabels.app", "type string"], "matchLabels"),
    "label's value too long": BadSpec(
        labels(app="x" * 64),
        ["spec.selector.matchLabels.app", "may not be more than 63"],
        "spec.selector.matchLabels[app]",
    ),
    "label's value with a space": BadSpec(
        labels(app="voice agent"), ["spec.selector.matchLabels[app]", "at most 63 of letters, digits"]
    ),
    "label's value in Cyrillic": BadSpec(
        labels(app="голос"), ["spec.selector.matchLabels[app]", "at most 63 of letters, digits"]
    ),
    "label's name with a space": BadSpec(
        labels(**{"my app": "x"}), ["spec.selector.matchLabels", "must have keys", "example.com/app"]
    ),
    "label's name empty": BadSpec(labels(**{"": "x"}), ["spec.selector.matchLabels", "must have keys"]),
    "label's name with two slashes": BadSpec(labels(**{"a/b/c": "x"}), ["spec.selector.matchLabels", "must have keys"]),
    "label's name too long": BadSpec(labels(**{"x" * 64: "x"}), ["spec.selector.matchLabels", "must have keys"]),
    "label's domain too long": BadSpec(
        labels(**{"x" * 254 + "/app": "x"}), ["spec.selector.matchLabels", "a DNS name of at most 253"]
    ),
    "label's domain in capitals": BadSpec(
        expression(key="Example.com/app", operator="Exists"),
        ["spec.selector.matchExpressions[0].key", "must be a label's name"],
    ),
    "label's name with an emoji": BadSpec(labels(**{"app🎧": "x"}), ["spec.selector.matchLabels", "must have keys"]),
    "too many labels": BadSpec(
        labels(**{f"l{number}": "x" for number in range(17)}),
        ["spec.selector.matchLabels", "must have at most 16 items"],
    ),
    "expression without a key": BadSpec(
        expression(operator="Exists"), ["spec.selector.matchExpressions[0].key", "Required"]
    ),
    "expression with a wrong key": BadSpec(
        expression(key="-app", operator="Exists"), ["spec.selector.matchExpressions[0].key", "must be a label's name"]
    ),
    "expression with a long key": BadSpec(
        expression(key="x" * 318, operator="Exists"),
        ["spec.selector.matchExpressions[0].key", "may not be more than 317"],
    ),
    "expression without an operator": BadSpec(
        expression(key="app"), ["spec.selector.matchExpressions[0].operator", "Required"]
    ),
    "expression with another operator": BadSpec(
        expression(key="app", operator="Equals", values=["x"]),
        ["spec.selector.matchExpressions[0].operator", '"In", "NotIn", "Exists", "DoesNotExist"'],
    ),
    "In without values": BadSpec(
        expression(key="app", operator="In"), ["spec.selector.matchExpressions[0].values", "at least one value"]
    ),
    "NotIn with no values": BadSpec(
        expression(key="app", operator="NotIn", values=[]),
        ["spec.selector.matchExpressions[0].values", "at least one value"],
    ),
    "Exists with values": BadSpec(
        expression(key="app", operator="Exists", values=["x"]),
        ["spec.selector.matchExpressions[0].values", "must be empty", "remove it"],
    ),
    "too many values": BadSpec(
        expression(key="app", operator="In", values=[f"v{number}" for number in range(33)]),
        ["spec.selector.matchExpressions[0].values", "must have at most 32 items"],
    ),
    "wrong value of an expression": BadSpec(
        expression(key="app", operator="In", values=["x", "y!"]),
        ["spec.selector.matchExpressions[0].values[1]", "at most 63 of letters, digits"],
        "spec.selector.matchExpressions[0].values",
    ),
    "too many expressions": BadSpec(
        {"selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}] * 17}},
        ["spec.selector.matchExpressions", "must have at most 16 items"],
    ),
    "expression with an unknown field": BadSpec(
        expression(key="app", operator="Exists", value="x"),
        ['unknown field "spec.selector.matchExpressions[0].value"'],
        "spec.selector.matchExpressions[0].'value'",
    ),
    "priority too large": BadSpec(spec(priority=1_000_001), ["spec.priority", "less than or equal to 1000000"]),
    "priority too small": BadSpec(spec(priority=-(2**31)), ["spec.priority", "greater than or equal to -1000000"]),
    "priority with a fraction": BadSpec(spec(priority=1.5), ["spec.priority", "must be of type integer"]),
    "priority as text": BadSpec(spec(priority="high"), ["spec.priority", "must be of type integer"]),
    "another scope": BadSpec(spec(scope="Global"), ["spec.scope", '"Namespace", "Cluster"']),
    # whole numbers
    "negative size": BadSpec(spec(warmSize=-1), ["spec.warmSize", "greater than or equal to 0"]),
    "size too large": BadSpec(spec(warmSize=1001), ["spec.warmSize", "less than or equal to 1000"]),
    "size of 10^30": BadSpec(spec(warmSize=10**30), ["spec.warmSize"]),
    "size as text": BadSpec(spec(warmSize="3"), ["spec.warmSize", "must be of type integer"]),
    "size with a fraction": BadSpec(spec(warmSize=2.5), ["spec.warmSize", "must be of type integer"]),
    "size as a bool": BadSpec(spec(warmSize=True), ["spec.warmSize", "must be of type integer"]),
    "size as a list": BadSpec(spec(warmSize=[3]), ["spec.warmSize", "must be of type integer"]),
    "largest size of nothing": BadSpec(spec(maxSize=0), ["spec.maxSize", "greater than or equal to 1"]),
    "nobody may wait": BadSpec(spec(maxWaiting=0), ["spec.maxWaiting", "greater than or equal to 1"]),
    "uploads of a byte": BadSpec(spec(maxUploadBytes=1), ["spec.maxUploadBytes", "greater than or equal to 1024"]),
    "cache too small": BadSpec(spec(promptCacheBytes=1000), ["spec.promptCacheBytes", "from 65536", "0 for off"]),
    "cache too large": BadSpec(
        spec(promptCacheBytes=2**40), ["spec.promptCacheBytes", "less than or equal to 17179869184"]
    ),
    # numbers
    "interval of nothing": BadSpec(spec(warmupIntervalSeconds=0), ["spec.warmupIntervalSeconds", "from 0.1 to 86400"]),
    "interval too long": BadSpec(spec(warmupIntervalSeconds=86_401), ["spec.warmupIntervalSeconds", "equal to 86400"]),
    "interval as a duration": BadSpec(spec(warmupIntervalSeconds="30s"), ["spec.warmupIntervalSeconds", "type number"]),
    "age below a second": BadSpec(spec(maxIdleSeconds=0.5), ["spec.maxIdleSeconds", "from 1 to 604800, or 0 for off"]),
    "negative age": BadSpec(spec(maxLifetimeSeconds=-1), ["spec.maxLifetimeSeconds", "greater than or equal to 0"]),
    "age too large": BadSpec(spec(sessionMaxAgeSeconds=1e12), ["spec.sessionMaxAgeSeconds", "equal to 604800"]),
    "timeout of nothing": BadSpec(spec(acquireTimeoutSeconds=0), ["spec.acquireTimeoutSeconds", "from 0.01 to 600"]),
    "negative timeout": BadSpec(spec(firstChunkTimeoutSeconds=-0.1), ["spec.firstChunkTimeoutSeconds", "equal to 0.1"]),
    # words
    "switch as a bool": BadSpec(spec(sessionAwareness=True), ["spec.sessionAwareness", '"Enabled", "Disabled"']),
    "switch in another word": BadSpec(spec(backgroundWarmup="on"), ["spec.backgroundWarmup", '"Enabled", "Disabled"']),
    "another log level": BadSpec(spec(logLevel="trace"), ["spec.logLevel", '"debug", "info", "warning", "error"']),
    "empty voice": BadSpec(spec(defaultVoice=""), ["spec.defaultVoice", "at least 1 chars"]),
    "voice too long": BadSpec(spec(defaultVoice="x" * 129), ["spec.defaultVoice", "may not be more than 128"]),
    "voice with a line end": BadSpec(spec(defaultVoice="a\nb"), ["spec.defaultVoice", "no control characters"]),
    "language in words": BadSpec(spec(defaultLanguage="American English"), ["spec.defaultLanguage", "as en-US"]),
    # relations outside the pools
    "warm size above the largest size": BadSpec(
        spec(warmSize=20, maxSize=10), ["spec.warmSize", "at most maxSize (10), got 20"]
    ),
    "warm size above the largest warm size": BadSpec(
        spec(warmSize=9, maxWarmSize=8), ["spec.warmSize", "at most maxWarmSize (8), got 9"]
    ),
    "largest warm size above the largest size": BadSpec(
        spec(maxWarmSize=9, maxSize=8), ["spec.maxWarmSize", "at most maxSize (8), got 9"]
    ),
    "one upload above all uploads": BadSpec(
        spec(maxUploadBytes=4096, maxUploadTotalBytes=2048),
        ["spec.maxUploadBytes", "at most maxUploadTotalBytes (2048)"],
    ),
    "stall above the timeout": BadSpec(
        spec(uploadStallSeconds=2.5, uploadTimeoutSeconds=1.5),
        ["spec.uploadStallSeconds", "at most uploadTimeoutSeconds (1.5), got 2.5"],
    ),
    "first chunk above the utterance": BadSpec(
        spec(firstChunkTimeoutSeconds=30, utteranceTimeoutSeconds=20),
        ["spec.firstChunkTimeoutSeconds", "at most utteranceTimeoutSeconds (20)"],
    ),
    "gap above the utterance": BadSpec(
        spec(chunkGapTimeoutSeconds=30, utteranceTimeoutSeconds=20),
        ["spec.chunkGapTimeoutSeconds", "at most utteranceTimeoutSeconds (20)"],
    ),
    # pools
    "no pools": BadSpec(spec(pools=[]), ["spec.pools", "at least 1 items"]),
    "too many pools": BadSpec(
        pools(*(tts(f"p{number}") for number in range(17))), ["spec.pools", "must have at most 16 items"]
    ),
    "pools as a mapping": BadSpec(spec(pools={"tts": {}}), ["spec.pools"]),
    "pool as a text": BadSpec(spec(pools=["tts"]), ["spec.pools[0]", "must be of type object"]),
    "two pools of one name": BadSpec(pools(tts("a"), stt("a")), ["spec.pools[1]", "Duplicate value", '"a"']),
    "pool without a name": BadSpec(pools({"kind": "TextToSpeech"}), ["spec.pools[0].name", "Required"]),
    "pool without a kind": BadSpec(pools({"name": "a"}), ["spec.pools[0].kind", "Required"]),
    "another kind of pool": BadSpec(
        pools({"name": "a", "kind": "Translation"}), ["spec.pools[0].kind", '"TextToSpeech", "SpeechToText"']
    ),
    "pool's name in capitals": BadSpec(pools(tts("Voice")), ["spec.pools[0].name", "1 to 63 of a-z, 0-9 and -"]),
    "pool's name with a hyphen last": BadSpec(pools(tts("a-")), ["spec.pools[0].name", "letter or digit at both ends"]),
    "pool's name empty": BadSpec(pools(tts("")), ["spec.pools[0].name", "at least 1 chars"]),
    "pool's name too long": BadSpec(pools(tts("x" * 64)), ["spec.pools[0].name", "may not be more than 63"]),
    "pool's name in Greek": BadSpec(pools(tts("φωνή")), ["spec.pools[0].name", "1 to 63 of a-z, 0-9 and -"]),
    "pool's size too large": BadSpec(pools(tts(), stt(warmSize=1001)), ["spec.pools[1].warmSize", "equal to 1000"]),
    "pool's age below a second": BadSpec(
        pools(tts(keepaliveSeconds=0.9)), ["spec.pools[0].keepaliveSeconds", "from 1 to 86400, or 0 for off"]
    ),
    "another output format": BadSpec(
        pools(tts(outputFormat="Mp3")), ["spec.pools[0].outputFormat", '"Raw24Khz16BitMonoPcm"']
    ),
    "output format in other letters": BadSpec(
        pools(tts(outputFormat="raw24khz16bitmonopcm")), ["spec.pools[0].outputFormat", '"Raw24Khz16BitMonoPcm"'], ""
    ),
    "compressed input": BadSpec(
        pools(stt(inputFormat="Ogg24Khz16BitMonoOpus")), ["spec.pools[0].inputFormat", '"Raw16Khz16BitMonoPcm"']
    ),
    "languages of a pool that speaks": BadSpec(
        pools(tts(languages=["en-US"])), ["spec.pools[0].languages", "SpeechToText pools: remove it"]
    ),
    "output format of a pool that listens": BadSpec(
        pools(stt(outputFormat="Raw24Khz16BitMonoPcm")), ["spec.pools[0].outputFormat", "TextToSpeech pools: remove it"]
    ),
    "text streaming of a pool that listens": BadSpec(
        pools(stt(textStreaming="Enabled")), ["spec.pools[0].textStreaming", "TextToSpeech pools: remove it"]
    ),
    "characters of a pool that listens": BadSpec(
        pools(stt(maxCharactersPerMinute=5)), ["spec.pools[0].maxCharactersPerMinute", "TextToSpeech pools"]
    ),
    "no languages": BadSpec(pools(stt(languages=[])), ["spec.pools[0].languages", "at least 1 items"]),
    "too many languages": BadSpec(
        pools(stt(languages=[f"l{letter}" for letter in "abcdefghijk"], languageMode="Detect")),
        ["spec.pools[0].languages", "at most 10 items"],
    ),
    "language twice": BadSpec(
        pools(stt(languages=["en-US", "de-DE", "en-US"], languageMode="Detect")),
        ["spec.pools[0].languages", "must differ from each other"],
    ),
    "language that is none": BadSpec(
        pools(stt(languages=["en_US"])), ["spec.pools[0].languages[0]", "as en-US"], "spec.pools[0].languages"
    ),
    "languages as a text": BadSpec(pools(stt(languages="en-US,de-DE")), ["spec.pools[0].languages", "type array"]),
    "several languages, one mode": BadSpec(
        pools(stt(languages=["en-US", "de-DE"], languageMode="Single")),
        ["spec.pools[0].languages", "set languageMode: Detect"],
    ),
    "detection of one language": BadSpec(
        pools(stt(languages=["en-US"], languageMode="Detect")), ["spec.pools[0].languages", "2 to 10 languages"]
    ),
    "another language mode": BadSpec(
        pools(stt(languageMode="Auto")), ["spec.pools[0].languageMode", '"Single", "Detect"']
    ),
    "pool's warm size above its largest": BadSpec(
        pools(tts(), stt(warmSize=5, maxSize=4)), ["spec.pools[1].warmSize", "at most maxSize (4), got 5"]
    ),
    "pool's warm size above its largest warm size": BadSpec(
        pools(tts(warmSize=5, maxWarmSize=4)), ["spec.pools[0].warmSize", "at most maxWarmSize (4), got 5"]
    ),
    "pool's warm size above everyone's largest": BadSpec(
        pools(tts("voice-out", warmSize=9), maxSize=8),
        ["spec.pools", "the pool voice-out, whose warmSize must be at most spec.maxSize (8)"],
    ),
    "everyone's warm size above a pool's largest": BadSpec(
        pools(tts("voice-out", maxSize=4), warmSize=5),
        ["spec.pools", "the pool voice-out, whose maxSize must be at least spec.warmSize (5)"],
        "spec.pools[0].maxSize",
    ),
    "pool's largest warm size above everyone's largest": BadSpec(
        pools(stt("voice-in", maxWarmSize=9), maxSize=8),
        ["spec.pools", "the pool voice-in, whose maxWarmSize must be at most spec.maxSize (8)"],
    ),
    "everyone's warm size above a pool's largest warm size": BadSpec(
        pools(stt("voice-in", maxWarmSize=2), warmSize=3),
        ["spec.pools", "the pool voice-in, whose maxWarmSize must be at least spec.warmSize (3)"],
    ),
    # the lexicon
    "word without a sound": BadSpec(words({"word": "SQL"}), ["spec.lexicon[0]", "either alias or ipa"], "spec.lexicon"),
    "word with two sounds": BadSpec(
        words({"word": "SQL", "alias": "sequel", "ipa": "s"}),
        ["spec.lexicon[0]", "either alias or ipa"],
        "spec.lexicon",
    ),
    "sound without a word": BadSpec(words({"alias": "sequel"}), ["spec.lexicon[0].word", "Required"], "spec.lexicon"),
    "word twice": BadSpec(
        words({"word": "SQL", "alias": "sequel"}, {"word": "SQL", "alias": "S Q L"}),
        ["spec.lexicon[1]", "Duplicate value", "SQL"],
        "spec.lexicon",
    ),
    "word too long": BadSpec(
        words({"word": "x" * 101, "alias": "y"}), ["spec.lexicon[0].word", "may not be more than 100"], "spec.lexicon"
    ),
    "word of spaces": BadSpec(
        words({"word": "  ", "alias": "y"}), ["spec.lexicon[0].word", "not white space"], "spec.lexicon"
    ),
    "alias with a bell": BadSpec(
        words({"word": "x", "alias": "y\a"}), ["spec.lexicon[0].alias", "no control character"], "spec.lexicon"
    ),
    "sounds between slashes": BadSpec(
        words({"word": "x", "ipa": "/iks/"}), ["spec.lexicon[0].ipa", "without digits, slashes"], "spec.lexicon"
    ),
    "sounds too long": BadSpec(
        words({"word": "x", "ipa": "ə" * 201}), ["spec.lexicon[0].ipa", "may not be more than 200"], "spec.lexicon"
    ),
    "too many words": BadSpec(
        words(*({"word": f"w{number}", "alias": "x"} for number in range(1001))),
        ["spec.lexicon", "must have at most 1000 items"],
    ),
    # names
    "unknown setting": BadSpec(spec(warmsize=3), ['unknown field "spec.warmsize"'], "spec.warmsize"),
    "unknown setting of a pool": BadSpec(
        pools(tts(format="Mp3")), ['unknown field "spec.pools[0].format"'], "spec.pools[0].format"
    ),
    "setting of a pool outside": BadSpec(
        spec(languages=["en-US"]), ['unknown field "spec.languages"'], "spec.languages"
    ),
    "setting of the sidecar in a pool": BadSpec(
        pools(tts(logLevel="info")), ['unknown field "spec.pools[0].logLevel"'], "spec.pools[0].logLevel"
    ),
    "setting that needs a restart": BadSpec(
        spec(socketMode="0660"), ['unknown field "spec.socketMode"'], "spec.socketMode"
    ),
    "engine's options": BadSpec(spec(engines={"azure": {}}), ['unknown field "spec.engines"'], "spec.engines"),
    "key": BadSpec(spec(azureSpeechKey="0123456789"), ['unknown field "spec.azureSpeechKey"'], "spec.azureSpeechKey"),
}
"""By what is wrong."""
