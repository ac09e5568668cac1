"""What ``mmcv.utils.collect_env`` asks of the extension."""


def get_compiler_version() -> str:
    """A word in place of the compiler's name."""
    return 'none (stand-ins of autokd_mm.ops)'


def get_compiling_cuda_version() -> str:
    """A word in place of the version of CUDA that operations were compiled with."""
    return 'not available'
