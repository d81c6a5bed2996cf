"""Audio in every format a caller may ask for or send: names, WAV, G.711, and the codec workers."""
