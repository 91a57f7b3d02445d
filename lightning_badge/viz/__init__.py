"""Pictures: arrays in, matplotlib figures out; matplotlib is imported when one is drawn."""
