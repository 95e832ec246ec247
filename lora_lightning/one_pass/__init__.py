"""Many trainings or decodings in one pass over one base."""
