"""GET /v1/models and /v1/audio/voices: what there is, in the shapes that OpenAI's and others' clients read."""

from typing import Any

from aiohttp import web

from speechpool.errors import InvalidInput, NotFound
from speechpool.web.state import STATE, WebState

__all__ = ["OPENAI_VOICES", "get_model", "list_models", "list_voices"]

OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
    *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
"""OpenAI's own voices, as its clients name them."""


async def list_models(request: web.Request) -> web.Response:
    """One model a pool; requests may name any model."""
    return web.json_response({"object": "list", "data": _models(request.app[STATE])})


async def get_model(request: web.Request) -> web.Response:
    """One of them."""
    name = request.match_info["model"]
    for model in _models(request.app[STATE]):
        if model["id"] == name:
            return web.json_response(model)
    message = f"no model {name[:64]!r}; GET /v1/models lists them, and requests may name any model"
    raise NotFound(message, param="model", code="model_not_found")


async def list_voices(request: web.Request) -> web.Response:
    """The engine's voices, and which of them OpenAI's names stand for."""
    service = request.app[STATE].service
    wanted = request.query.get("language", "").lower()
    voices = [
        {
            "id": voice.name,
            "name": voice.name,
            "language": voice.language,
            "gender": voice.gender,
            "description": voice.description,
            "styles": list(voice.styles),
        }
        for voice in service.voices()
        if voice.language.lower().startswith(wanted)
    ]
    return web.json_response({"object": "list", "voices": voices, "aliases": _aliases(request.app[STATE])})


def _models(state: WebState) -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "object": "model",
            "created": state.created,
            "owned_by": state.service.engine.name,
            "kind": pool["kind"],
        }
        for name, pool in state.service.pools().items()
    ]


def _aliases(state: WebState) -> dict[str, str]:
    aliases = {}
    for name in OPENAI_VOICES:
        try:
            aliases[name] = state.service.engine.resolve_voice(name)
        except InvalidInput:
            continue  # an engine may lack one
    return aliases
