"""Statistics: arrays in, arrays out. Higher scores mean members throughout."""
