"""The real handlers, driven through faults by a seed: see docs/simulator.md."""
