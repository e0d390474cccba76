"""What a job is: its record, its states, its store and its artifacts. No HTTP, no torch."""
