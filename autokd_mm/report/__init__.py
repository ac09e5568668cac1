"""What a search leaves to read: words, tables, exported configs, progress."""
