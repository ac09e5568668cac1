# 40k iterations of SGD with a polynomial rate (Auto-KD's supplement, section 2). It says nothing of
# the rate and the weight decay: mmseg's, for a batch of 8.
_base_ = ['mmseg::_base_/schedules/schedule_40k.py', 'mmseg::_base_/default_runtime.py']

auto_scale_lr = dict(base_batch_size=8)
