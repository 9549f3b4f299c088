"""What is measured of a face: attributes, identity, detail, and how well it fits a model."""
