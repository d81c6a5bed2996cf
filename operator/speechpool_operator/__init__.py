"""The control plane: SpeechPool objects, and the sidecars that follow them."""
