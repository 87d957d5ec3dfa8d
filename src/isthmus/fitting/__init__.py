"""Floor 3: one model, one loop: assembling the parts and fitting them to rows."""
