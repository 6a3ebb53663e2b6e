"""A study at work: planned, then done stage by stage into its run folder, here or by worker processes."""
