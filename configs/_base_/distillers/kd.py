# KD as a point of the space: the logits of both networks at temperature 4.
kd = dict(
    type='mmrazor.ConfigurableDistiller',
    student_recorders=dict(logits=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
    teacher_recorders=dict(logits=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
    distill_losses=dict(
        loss_logits=dict(
            type='mmrazor.LogitsLoss',
            distance='kl',
            temperature=4,
            loss_weight=1)),
    loss_forward_mappings=dict(
        loss_logits=dict(
            student=dict(recorder='logits', from_student=True),
            teacher=dict(recorder='logits', from_student=False))))
