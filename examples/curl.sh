#!/usr/bin/env bash
# The sidecar from a shell. First: `speechpool serve &`, then `speechpool wait`.
set -euo pipefail
socket=${SPEECHPOOL_SOCKET:-${XDG_RUNTIME_DIR:-/run}/speechpool/speechpool.sock}
call() { curl --silent --show-error --fail-with-body --unix-socket "$socket" "$@"; }

# text to audio; -D - shows the tier, the wait and the timing
call -D - -o hello.wav http://speechpool/v1/audio/speech \
  -H 'content-type: application/json' \
  -d '{"model": "any", "voice": "alloy", "input": "Hello from a warm client.", "response_format": "wav"}'

# audio to text, with the only sentences there can be
call http://speechpool/v1/audio/transcriptions \
  -F model=any -F file=@hello.wav -F 'grammar[]=hello from a warm client' -F 'grammar[]=something else'
echo

# a session has clients of its own; cancel is barge-in
call -X PUT http://speechpool/v1/sessions/call-1
echo
call -X DELETE http://speechpool/v1/sessions/call-1

# how the pools are
call http://speechpool/v1/pools
echo
