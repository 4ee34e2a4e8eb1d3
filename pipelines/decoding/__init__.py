"""An encoded file becomes samples, or a reason why not."""
