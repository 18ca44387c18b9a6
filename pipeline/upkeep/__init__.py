"""What a finished table wants: who is at work on it and how far, and pairs removed from it."""
