from final_rounds import make  # noqa: F401
from search_parts import banks, parts, rng, scope  # noqa: F401
