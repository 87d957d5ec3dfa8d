"""Floor 1: where rows come from and in which units the network sees them."""
