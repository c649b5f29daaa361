"""What replaces student-visible code with something quicker. Handouts and sandboxes leave this folder out."""
