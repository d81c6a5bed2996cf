"""What the product does, without HTTP: utterances, recognitions and sessions on warm pools of speech clients."""
