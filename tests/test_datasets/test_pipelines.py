from autokd_mm.datasets.pipelines import pipeline_of

STEPS = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def test_the_pipeline_below_wrappers():
    plain = dict(type='CIFAR10', pipeline=STEPS)
    assert pipeline_of(plain) is STEPS
    repeated = dict(type='RepeatDataset', times=2, dataset=plain)
    assert pipeline_of(repeated) is STEPS
    several = dict(type='ConcatDataset', datasets=[repeated, dict(type='CIFAR10', pipeline=[])])
    assert pipeline_of(several) is STEPS
