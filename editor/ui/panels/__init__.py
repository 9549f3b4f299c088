"""Parts of the page that have handlers of their own: the choice of a model, edits of one's own."""
