"""What runs solely at the coordinator."""
