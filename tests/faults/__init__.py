"""Every fault that the program promises to survive, brought about on purpose: see docs/faults.md."""
