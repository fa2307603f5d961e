"""What `make bench` measures: counts and ratios of one run on one machine, never a gate on time alone."""
