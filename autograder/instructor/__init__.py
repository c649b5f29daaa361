"""What an instructor has and a handout has not: oracles, banks of right and wrong solutions, their commands."""
