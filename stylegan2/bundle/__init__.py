"""Model bundles: folders of weights, read, checked, written, and made of other projects' files."""
