from search_parts import banks, parts, rng, scope  # noqa: F401
