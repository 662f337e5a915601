"""What a maintainer runs by name: the demo, the pictures of the README, the model of the example."""
