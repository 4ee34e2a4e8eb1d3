"""What a person, or `ray job submit`, runs. Only here are arguments parsed and things printed."""
