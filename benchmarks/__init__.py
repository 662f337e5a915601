"""Compare the product with the guide's way and the bare engine, in one run on one machine."""
