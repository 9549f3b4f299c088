"""What every stage of training shares: the loop, its settings, its folder, its hardware."""
