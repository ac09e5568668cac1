"""The Optuna study on disk or in a database, and what several workers need to share it."""
