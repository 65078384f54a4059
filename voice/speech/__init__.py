"""Speech recognition and synthesis, off the event loop, in processes of their own."""
