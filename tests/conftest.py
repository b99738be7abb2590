from hypothesis import HealthCheck, settings

# Time is no property of the code: on a busy machine a deadline, or a limit on drawing, fails for nothing.
settings.register_profile("busy machine", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")
