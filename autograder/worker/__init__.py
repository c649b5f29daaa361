"""The student's process: what is bound into the sandbox, whole, and nothing else of the grader is. Knows no answer."""
