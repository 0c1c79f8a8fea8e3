"""Does what AWS's runtime client does, so that a test needs no package of it."""
