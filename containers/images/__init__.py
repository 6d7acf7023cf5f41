"""What the containers are made of: recipes, how they are built, and where they lie."""
