"""Many trainings in one pass over one base."""
