"""Embeds a catalogue in a file through the encoder's service, resumably."""
