"""What the benchmarks are made of. The commands stand in the folder above; none stands here."""
