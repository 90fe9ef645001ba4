"""The pieces that vectors are searched in. Know nothing of items."""
