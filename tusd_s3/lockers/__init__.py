"""Who may write to an upload: implementations of the `Locker` interface."""
