"""Time and peak memory of steps that are compared with each other, in turns within one run."""
import time


def synchronise(device):
    if device == 'cuda':
        import torch
        torch.cuda.synchronize()


def seconds(steps, device, budget):
    """The fastest turn of each step; they take turns until the budget of seconds is used up.

    The fastest, because whatever else the machine does can only add to it.
    """
    fastest, start, turns = [float('inf')] * len(steps), time.perf_counter(), 0
    while turns < 1 or time.perf_counter() - start < (budget if turns > 1 else 10 * budget):
        order = list(enumerate(steps))
        for index, step in order[::-1] if turns % 2 else order:  # who follows whom matters
            synchronise(device)
            before = time.perf_counter()
            step()
            synchronise(device)
            fastest[index] = min(fastest[index], time.perf_counter() - before)
        turns += 1
    return fastest


def peak_bytes(step, device):
    """The most that is allocated at once beyond what was there before."""
    import torch
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step()
    events = [event for event in profile.profiler.kineto_results.events()
              if event.name() == '[memory]']
    events.sort(key=lambda event: (event.start_ns if hasattr(event, 'start_ns')
                                   else event.start_us)())
    now = peak = 0
    for event in events:
        now += event.nbytes()
        peak = max(peak, now)
    return peak
