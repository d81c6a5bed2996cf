"""The official `openai` client over the sidecar's socket: `pip install speechpool[openai]`, then `speechpool serve`."""

from pathlib import Path

from speechpool.client import openai_client


def main() -> None:
    """Speak a sentence into a file, then have it understood."""
    client = openai_client()
    target = Path("hello.wav")
    with client.audio.speech.with_streaming_response.create(
        model="any", voice="alloy", input="Hello from a warm client.", response_format="wav"
    ) as speech:
        print("tier:", speech.headers["x-speechpool-tier"], "waited:", speech.headers["x-speechpool-wait-ms"], "ms")
        speech.stream_to_file(target)
    with target.open("rb") as file:
        transcript = client.audio.transcriptions.create(
            model="any", file=file, extra_body={"grammar": ["hello from a warm client", "something else"]}
        )
    print("understood:", transcript.text)


if __name__ == "__main__":
    main()
