"""Every call to a frozen model: stored, counted, budgeted."""
