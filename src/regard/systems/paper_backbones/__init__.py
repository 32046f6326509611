"""What the networks of `paper_networks` are without attention: one family to a file, each building itself."""
