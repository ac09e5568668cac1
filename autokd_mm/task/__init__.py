"""What a search is about: both networks looked at once, before anything is written."""
