"""Networks: architectures that fill the network slot, one per file."""
