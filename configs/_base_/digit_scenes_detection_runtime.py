_base_ = 'mmdet::_base_/default_runtime.py'

# Registers everything of this package in MMRazor's registries, whoever launches the config.
custom_imports = dict(imports=['autokd_mm'], allow_failed_imports=False)

default_hooks = dict(
    logger=dict(interval=50), checkpoint=dict(interval=10, max_keep_ckpts=1))
log_processor = dict(window_size=50)
randomness = dict(seed=0, deterministic=False)
