"""`make bench`: what the service costs, as ratios and differences within one run, since machines are noisy."""
