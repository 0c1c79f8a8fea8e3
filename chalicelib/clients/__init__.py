"""Life of a client: enrollment, changes, rotation, denial, deletion."""
