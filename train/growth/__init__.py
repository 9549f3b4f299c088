"""Growing a trained model by one block, all below frozen."""
