"""What training looks at: real faces of shards and folders, and synthetic pairs."""
