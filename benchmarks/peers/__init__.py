"""What users would run instead of this project, each written as its users write it."""
