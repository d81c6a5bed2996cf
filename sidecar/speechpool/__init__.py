"""SpeechPool: warm speech clients beside your application."""
