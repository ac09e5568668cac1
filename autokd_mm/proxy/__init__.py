"""One candidate: the settings of the proxy, its images and batches, the training, rejection."""
