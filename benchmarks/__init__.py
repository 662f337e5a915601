"""The product beside the guide's own way and the bare engine; ratios of one run on one machine."""
