"""Finding the layers that are compared, and listening to them."""
