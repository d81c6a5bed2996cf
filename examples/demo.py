"""A tour in under a minute: speech from warm clients, a human voice understood, then the same without a pool.

Run it with `make demo`. It needs no network, no Azure key and no sound card, and leaves nothing behind but a WAV file.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechpool.client import SidecarClient

ROOT = Path(__file__).resolve().parent.parent
RECORDINGS = ROOT / "tests" / "data" / "recordings"
WAV = ROOT / "build" / "demo" / "good-morning.wav"

SENTENCE = "Good morning. This voice was warm before you asked for it."
# LibriVox readings of Jane Austen's Sense and Sensibility, chapter 1 (public domain), and what is said in them
SAID = {
    "austen-0880.wav": "he was not an ill disposed young man",
    "austen-0930.wav": "he might even have been made amiable himself",
}
WAV_HEADER_BYTES = 44
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Step:
    """What one step of the tour took, in seconds."""

    name: str
    tier: str
    wait: float
    answer: float


def main() -> int:
    """Run the tour."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speechpool-demo-")))
        process, sidecar = stack.enter_context(running_sidecar(folder))
        heading("With the pool: 3 warm voices, 1 warm listener")
        warm = tour(sidecar)
        write_settings(folder, 0, 0)
        process.send_signal(signal.SIGHUP)
        wait_for_empty_pools(sidecar)
        heading("Without it: the settings file now says warmSize 0, and the running sidecar has followed")
        cold = tour(sidecar)
    heading("The difference, in milliseconds")
    print(
        f"  {'':<28}{'waited for a client':>26}{'first answer':>26}\n  {'':<28}{'warm   cold':>26}{'warm   cold':>26}"
    )
    for one, other in zip(warm, cold, strict=True):
        waits, answers = (
            f"{hot * 1000:8.1f}{new * 1000:9.1f}" for hot, new in ((one.wait, other.wait), (one.answer, other.answer))
        )
        print(f"  {one.name:<28}{waits:>26}{answers:>26}")
    print(f"\nThe sentence is in {WAV}: play it.")
    return 0


@contextlib.contextmanager
def running_sidecar(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", SidecarClient]]:
    """`speechpool serve` on a private socket, from when it is ready; stopped at the end."""
    write_settings(folder, 3, 1)
    socket, speechpool = folder / "demo.sock", [sys.executable, "-m", "speechpool"]
    serve = [*speechpool, "serve", "--engine", "local", "--socket", str(socket), "--log-level", "warning"]
    foreign = ("SPEECHPOOL_", "SPEECH_POOL_", "AZURE_SPEECH_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    started_at = time.monotonic()
    # in a session of its own: Ctrl-C is for this script, which then ends the sidecar in order
    process = subprocess.Popen([*serve, "--config", str(folder / "settings.yaml")], env=environ, start_new_session=True)
    try:
        wait = [*speechpool, "wait", "--quiet", "--socket", str(socket), "--timeout", str(PATIENCE_SECONDS)]
        subprocess.run(wait, check=True)
        print(f"The sidecar is ready after {time.monotonic() - started_at:.1f} s, on {socket}")
        yield process, SidecarClient(socket)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def write_settings(folder: Path, voices: int, listeners: int) -> None:
    """Write the settings file in one step."""
    whole = folder / "settings.new"
    whole.write_text(f"""\
pools:
- {{name: tts, kind: TextToSpeech, warmSize: {voices}}}
- {{name: stt, kind: SpeechToText, warmSize: {listeners}}}
""")
    whole.replace(folder / "settings.yaml")


def wait_for_empty_pools(sidecar: SidecarClient) -> None:
    """Until no client is warm."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while any(sum(pool["items"].values()) for pool in sidecar.get_json("/v1/pools")["data"]):
        if time.monotonic() > give_up_at:
            raise TimeoutError("the pools did not follow the settings file")
        time.sleep(0.05)


def tour(sidecar: SidecarClient) -> list[Step]:
    """Speak, listen, and listen for known sentences."""
    dictated = (listen(sidecar, name) for name in SAID)
    known = (listen(sidecar, name, list(SAID.values())) for name in SAID)
    return [speak(sidecar), *dictated, *known]


def speak(sidecar: SidecarClient) -> Step:
    """Turn the sentence into a WAV file."""
    print(f'\n  say        "{SENTENCE}"')
    with sidecar.speak(SENTENCE, response_format="wav") as speech:
        audio = speech.read()
    save(audio)
    first, total = speech.first_byte_seconds or 0.0, speech.total_seconds or 0.0
    step = Step("say", speech.tier, speech.wait_seconds, first)
    report(step, "first byte", total / audio_seconds(audio))
    show_pool(sidecar, "tts")
    return step


def listen(sidecar: SidecarClient, name: str, sentences: Sequence[str] = ()) -> Step:
    """Send one recording of a human voice."""
    recording = RECORDINGS / name
    with recording.open("rb") as file:
        transcript = sidecar.transcribe(file, filename=name, grammar=sentences)
    print(f'\n  recording  "{SAID[name]}"')
    print(f'  understood "{transcript.json()["text"]}"{" (a grammar of known sentences)" if sentences else ""}')
    step = Step(
        f"{name}{', grammar' if sentences else ''}", transcript.tier, transcript.wait_seconds, transcript.total_seconds
    )
    report(step, "text", transcript.total_seconds / audio_seconds(recording.read_bytes()))
    show_pool(sidecar, "stt")
    return step


def report(step: Step, what: str, real_time_factor: float) -> None:
    """Tell how a step went."""
    wait, answer = f"waited {step.wait * 1000:.1f} ms", f"{what} after {step.answer * 1000:.1f} ms"
    print(f"             {step.tier} client, {wait}, {answer}, real-time factor {real_time_factor:.3f}")


def show_pool(sidecar: SidecarClient, name: str) -> None:
    """Tell how a pool is now."""
    pool = sidecar.get_json(f"/v1/pools/{name}")
    metrics = pool["metrics"]
    served = ", ".join(f"{metrics[f'allocations_{tier}']} {tier}" for tier in ("dedicated", "warm", "cold"))
    idle = f"{pool['warm_pool_size']} idle (at least {pool['warm_pool_target']} wanted)"
    print(f"             pool {name}: {pool['state']}, {idle}; served {served}", flush=True)


def audio_seconds(audio: bytes) -> float:
    """How long a WAV file plays."""
    with wave.open(io.BytesIO(audio)) as file:
        frame_bytes = file.getnchannels() * file.getsampwidth()
        return (len(audio) - WAV_HEADER_BYTES) / frame_bytes / file.getframerate()


def save(audio: bytes) -> None:
    """Keep the sentence as a WAV file with its true length in the header, which a stream cannot know."""
    WAV.parent.mkdir(parents=True, exist_ok=True)
    whole = WAV.with_suffix(f".{os.getpid()}.part")
    with wave.open(io.BytesIO(audio)) as streamed, wave.open(str(whole), "wb") as file:
        file.setparams(streamed.getparams()._replace(nframes=0))
        file.writeframes(audio[WAV_HEADER_BYTES:])
    whole.replace(WAV)


def heading(text: str) -> None:
    """Begin a part."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
