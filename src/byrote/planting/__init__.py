"""Which records are planted how often, and the recipe of canaries that the base model writes."""
